"""What a person let a token client do with one of their accounts: one live consent, theirs alone to give and to withdraw."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.clock import Clock
from webapp.audit.tables import Entry
from webapp.clients.tables import Client
from webapp.connections import consents
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import BadInput, Conflict, Forbidden, Missing

READ = ["accounts:read"]


def client(session: Session, clock: Clock, name: str = "cli_desk", kind: str = "token", status: str = "active") -> None:
    session.add(Client(id=name, kind=kind, name="Issue Desk", redirect_uris=[], status=status, created_at=clock()))


def account(session: Session, clock: Clock, name: str = "con_1", person: str = "ada", status: str = "active") -> None:
    now = clock()
    session.add(Connection(
        id=name, person=person, provider="harbour", account="acc-1", label="Account acc-1",
        scopes=["accounts:read", "payees:read"], status=status, created_at=now, connected_at=now,
        last_used_at=None, ended_at=None,
    ))


@pytest.fixture
def ready(database: Database, clock: Clock) -> Database:
    def work(session: Session) -> None:
        client(session, clock)
        client(session, clock, "cli_agent", kind="agent")
        client(session, clock, "cli_out", status="paused")
        account(session, clock)
        account(session, clock, "con_bob", person="bob")
        account(session, clock, "con_gone", status="disconnected")

    database.write(work)
    return database


def give(database: Database, clock: Clock, **changed: object) -> str:
    asked = {"person": "ada", "client": "cli_desk", "connection": "con_1", "scopes": READ, "kind": "person", **changed}
    return database.write(lambda s: consents.give(s, **asked, now=clock()))  # type: ignore[arg-type]


def test_what_was_given_is_live_listed_and_in_the_log(ready: Database, clock: Clock) -> None:
    made = give(ready, clock)
    with ready.read() as session:
        live = consents.live(session, "cli_desk", "con_1")
        assert live is not None
        assert (live.id, live.person, live.kind, live.scopes) == (made, "ada", "person", ("accounts:read",))
        (row,) = consents.of_connection(session, "con_1")
        assert (row.client_name, row.provider, row.label, row.since) == ("Issue Desk", "harbour", "Account acc-1", clock())
        assert [one.id for one in consents.of_person(session, "ada")] == [made]
        assert consents.of_person(session, "bob") == []
        assert session.scalars(select(Entry.kind)).all() == ["consent.given"]


@pytest.mark.parametrize(("changed", "error"), [
    ({"connection": "con_bob"}, Missing), ({"connection": "con_none"}, Missing), ({"client": "cli_none"}, Missing),
    ({"client": "cli_agent"}, Missing), ({"client": "cli_out"}, Forbidden), ({"connection": "con_gone"}, BadInput),
    ({"scopes": []}, BadInput), ({"scopes": ["payments:send"]}, BadInput), ({"kind": "anything"}, BadInput),
])
def test_what_nobody_may_give_is_not_given(
    ready: Database, clock: Clock, changed: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        give(ready, clock, **changed)
    with ready.read() as session:
        assert session.scalars(select(Entry.kind)).all() == []


def test_a_later_consent_takes_the_place_of_the_one_before(ready: Database, clock: Clock) -> None:
    first = give(ready, clock)
    second = give(ready, clock, scopes=["payees:read"], kind="service")
    with ready.read() as session:
        live = consents.live(session, "cli_desk", "con_1")
        assert live is not None
        assert (live.id, live.scopes, live.kind) == (second, ("payees:read",), "service")
        assert session.scalars(select(Due.key).where(Due.kind == consents.WITHDRAWN)).all() == [first]


def test_only_the_person_withdraws_and_what_was_handed_out_is_ended_next(ready: Database, clock: Clock) -> None:
    made = give(ready, clock)
    for stranger in ("bob", ""):
        with pytest.raises(Missing):
            ready.write(lambda s, who=stranger: consents.withdraw(s, made, who, clock()))
    ready.write(lambda s: consents.withdraw(s, made, "ada", clock()))
    ready.write(lambda s: consents.withdraw(s, made, "ada", clock()))
    with ready.read() as session:
        assert consents.live(session, "cli_desk", "con_1") is None
        assert consents.of_connection(session, "con_1") == []
        due = session.scalars(select(Due).where(Due.kind == consents.WITHDRAWN)).one()
        assert due.payload == {"client": "cli_desk", "connection": "con_1"}
        assert session.scalars(select(Entry.kind).order_by(Entry.id)).all() == ["consent.given", "consent.withdrawn"]


def test_two_windows_at_once_leave_one_consent(ready: Database, clock: Clock) -> None:
    outcomes: list[object] = []
    start = threading.Barrier(2)

    def press(scope: str) -> None:
        start.wait()
        try:
            outcomes.append(give(ready, clock, scopes=[scope]))
        except Conflict as error:
            outcomes.append(error)

    threads = [threading.Thread(target=press, args=(scope,)) for scope in ("accounts:read", "payees:read")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2
    with ready.read() as session:
        assert len(consents.of_connection(session, "con_1")) == 1


def test_the_last_use_is_kept_to_the_minute(ready: Database, clock: Clock) -> None:
    made = give(ready, clock)
    first = clock()
    ready.write(lambda s: consents.used(s, made, first))
    ready.write(lambda s: consents.used(s, made, first + timedelta(seconds=5)))
    with ready.read() as session:
        assert consents.of_connection(session, "con_1")[0].last_used_at == first
