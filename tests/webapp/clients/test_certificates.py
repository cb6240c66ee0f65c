"""A renewal and the end of all of a client's certificates at the same moment, in both orders: none is good afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tests.clock import Clock
from tests.csr import authority, issue, new_key
from tests.keeper_parts import until
from vault.door import Certified
from webapp.clients import certificates
from webapp.clients.tables import Client
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import Conflict

CLIENT = "cli_payments"
AUTHORITY = authority()


def given(clock: Clock) -> tuple[Certified, str]:
    """As the keeper gives one, and its thumbprint."""
    made = issue(AUTHORITY, new_key(), f"spiffe://localhost/client/{CLIENT}")
    serial = ":".join(f"{byte:02x}" for byte in made.serial_number.to_bytes(20, "big"))
    pem = made.public_bytes(Encoding.PEM).decode()
    return Certified(pem, serial, clock() + timedelta(hours=24)), certificates.thumbprint(made.public_bytes(Encoding.DER))


@pytest.fixture
def renewal(database: Database, clock: Clock) -> Callable[[Session], None]:
    """The second certificate, asked for by the first."""
    (first, thumbprint), (second, _) = given(clock), given(clock)
    client = Client(id=CLIENT, kind="token", name="Payments", redirect_uris=[], created_at=clock())
    database.write(lambda s: s.add(client))
    database.write(lambda s: certificates.record(s, CLIENT, first, actor="cli", now=clock()))
    return lambda s: certificates.record(s, CLIENT, second, actor="client", now=clock(), renewed_by=thumbprint)


def meanwhile(database: Database, first: Callable[[Session], Any], second: Callable[[Session], Any]) -> list[Exception]:
    """`second` begins when `first` has written and not committed; on PostgreSQL that is let go on when the other waits for it."""
    failed, began = list[Exception](), threading.Event()

    def run() -> None:
        began.set()
        try:
            database.write(second)
        except Conflict as error:
            failed.append(error)

    thread = threading.Thread(target=run)

    def work(session: Session) -> None:
        first(session)
        thread.start()
        assert began.wait(60)
        if database.engine.dialect.name == "postgresql":
            until(lambda: _waiting(database) == 1, "the other waits")

    database.write(work)
    thread.join(60)
    assert not thread.is_alive()
    return failed


def _waiting(database: Database) -> int:
    of_ours = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    with database.engine.connect() as connection:
        return int(connection.scalar(of_ours) or 0)


def ended(database: Database, clock: Clock) -> int:
    """How many the authority is told of, when none is good any more."""
    with database.read() as session:
        assert certificates.live(session, CLIENT, clock()) == []
        return session.scalar(select(func.count()).where(Due.kind == certificates.REVOKE)) or 0


def test_a_renewal_that_is_written_while_all_are_ended_is_ended_too(
    database: Database, clock: Clock, renewal: Callable[[Session], None]
) -> None:
    """Attack: a stolen certificate renews itself in the moment in which an admin ends all of them. What is written then is not
    there yet for a statement that had begun before."""
    def all_of_them(session: Session) -> None:
        certificates.revoke_all(session, CLIENT, actor="cli", now=clock())

    assert meanwhile(database, renewal, all_of_them) == []
    assert ended(database, clock) == 2


def test_a_renewal_that_comes_when_all_were_ended_and_not_yet_committed_is_none(
    database: Database, clock: Clock, renewal: Callable[[Session], None]
) -> None:
    def all_of_them(session: Session) -> None:
        certificates.revoke_all(session, CLIENT, actor="cli", now=clock())

    assert len(meanwhile(database, all_of_them, renewal)) == 1
    assert ended(database, clock) == 1
