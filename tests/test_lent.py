"""A database that was lent before is as good as new."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.lent import Lender


def _connect(url: str) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


@pytest.fixture
def own(lender: Lender) -> Lender:
    """The same server and template, with no database lent yet."""
    return Lender(lender.server.render_as_string(hide_password=False), lender.template)


def test_rows_are_gone_and_nobody_else_is_connected(own: Lender) -> None:
    with own.lend() as first:
        left = _connect(first)
        left.execute("INSERT INTO due (id, kind, key, run_at, payload, attempts) VALUES ('x', 'k', 's', now(), '{}', 0)")
    with own.lend() as second, _connect(second) as fresh:
        assert second == first
        assert fresh.execute("SELECT count(*) FROM due").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")


@pytest.mark.parametrize("change", [
    "ALTER TABLE due ADD COLUMN more text", "DROP TABLE due CASCADE", "CREATE TABLE more (id int)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA more",
], ids=["a column", "a table less", "a table more", "a function", "a schema"])
def test_one_that_was_changed_is_not_lent_again(own: Lender, change: str) -> None:
    with own.lend() as first, _connect(first) as connection:
        connection.execute(change)
    with own.lend() as second:
        assert second != first
