"""The house of processes, once for all tests of this folder; each test finds it mended."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from tests.keeper_parts import KeeperParts
from tests.keeper_parts import serve as serve_keeper
from tests.real.scripted import Scripted, serve
from tests.real.standing import LEDGER, PAY, READ, Standing, standing

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def tls_keeper() -> Iterator[KeeperParts]:
    """For web processes of these tests' own, with TLS in them or in front of them."""
    with serve_keeper() as made:
        yield made


@pytest.fixture(scope="session")
def standing_session(postgres: str) -> Iterator[Standing]:
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    with standing(admin.url.set(database=name).render_as_string(hide_password=False)) as made:
        yield made


@pytest.fixture
def stand(standing_session: Standing) -> Iterator[Standing]:
    """Two web processes, two workers, all up: what a test before killed or sealed is mended. A failure shows logs."""
    standing_session.mend()
    try:
        yield standing_session
    finally:
        print(standing_session.logs())


def furnish(stand: Standing, scripted: Scripted) -> None:
    """The scripted server, approved by an admin, and Ada's account for it."""
    stand.mend()
    stand.add_server("scripted", scripted.url, {
        "wipe": ["--class", "destroy"],
        "look": ["--class", "read", "--provider", LEDGER, "--scope", READ],
        "pay": ["--class", "destroy", "--provider", LEDGER, "--scope", PAY],
    })
    stand.visitor("ada").connect(stand.accounts, LEDGER, [READ, PAY], "ada")


@pytest.fixture(scope="session")
def scripted_session(standing_session: Standing) -> Iterator[Scripted]:
    with serve() as scripted:
        furnish(standing_session, scripted)
        yield scripted


@pytest.fixture
def upstream(scripted_session: Scripted) -> Iterator[Scripted]:
    scripted_session.reset()
    yield scripted_session
    scripted_session.reset()


@pytest.fixture
def what() -> str:
    """An argument that no other test uses."""
    return f"thing {next(NUMBERS)}"
