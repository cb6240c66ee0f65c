"""How old each secret is: by name and time, and never by value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from tests import token_parts
from tests.app_parts import People
from tests.scripted_provider import Scripted, serve
from webapp.clients.tables import Certificate
from webapp.connections.tables import Connection
from webapp.secrets.status import Row, age, status, table
from webapp.web.house import House


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as made:
        yield made


def test_each_secret_has_an_age_and_says_who_replaces_it(
    house: House, app: Flask, signed_in: People, provider: Scripted
) -> None:
    ada, now = signed_in("ada"), house.clock()
    desk = token_parts.desk(house, app)
    account = token_parts.account(house, provider, ada.person)
    key = Connection(
        id="con_key", person=ada.person, provider="tavily", account="k", label="k", scopes=[], status="active",
        created_at=now, connected_at=now - timedelta(days=80), last_used_at=None, ended_at=None,
    )
    certificate = Certificate(
        serial="aa:bb", client=desk.id, thumbprint="t", issued_at=now - timedelta(hours=3), not_after=now + timedelta(hours=21),
        revoked_at=None,
    )
    house.database.write(lambda s: s.add_all([key, certificate]))
    house.door.mint(
        connection=account, person=ada.person, scopes=["accounts:read"], receiver="bank", cap=60, exclusive=True
    )
    found = {row.what: row for row in status(house)}
    assert {f"Vault key {name}" for name in ("payload", "authority", "audit")} <= set(found)
    for what in ("Client secret at provider harbour", f"Account {account} at harbour"):
        assert abs(found[what].since - datetime.now(UTC)) < timedelta(minutes=2), what
    assert found["API key con_key at tavily"].next == key.connected_at + timedelta(days=90)
    assert found[f"Certificate aa:bb of {desk.id}"].next == certificate.not_after
    assert any(what.endswith(f"of {desk.id}") and row.how.startswith("by hand") for what, row in found.items())
    said = table(list(found.values()), now)
    assert "80 days" in said
    assert not any(word in said for word in ("scripted-client-secret", "refresh-secret", "access-secret"))
    house.database.write(lambda s: s.merge(Certificate(
        serial="aa:bb", client=desk.id, thumbprint="t", issued_at=now, not_after=now - timedelta(seconds=1), revoked_at=None
    )))
    assert not [row for row in status(house) if "aa:bb" in row.what], "one that has ended is nobody's secret"


def test_an_age_in_words() -> None:
    assert [age(timedelta(seconds=seconds)) for seconds in (-5, 90, 3600, 47 * 3600, 86400 * 3)] == [
        "0 min", "1 min", "1 h", "47 h", "3 days",
    ]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert table([Row("A", now, "by hand"), Row("Longer", now, "x", now)], now).splitlines() == [
        "secret    age  next", "A       0 min  by hand", "Longer  0 min  2026-01-01 00:00 UTC, x",
    ]
