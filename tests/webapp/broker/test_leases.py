"""Leases: planned before the keeper is asked, ended when the call is over, and by themselves when nobody closed them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from tests.app_parts import People
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import Provider
from tests.scripted_provider import Scripted
from tests.scripted_provider import serve as scripted
from tests.webapp.connections.parts import connect, log, own_file, record, rows
from vault.errors import NeedsConsent
from webapp.broker import cleaning, leases, uses
from webapp.broker.cleaning import clean
from webapp.broker.jobs import end_lease, jobs
from webapp.broker.leases import END
from webapp.broker.tables import Lease
from webapp.broker.uses import reader
from webapp.clients.tables import Client
from webapp.connections import pages
from webapp.connections.connecting import LEASES
from webapp.connections.tables import Connection, Revocation
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.web.house import House


def planned(house: House, connection: Connection, **changes: Any) -> Lease:
    given: dict[str, Any] = {
        "connection": connection, "scopes": ["accounts:read"], "person": connection.person, "client": "cli_1", "grant": "gra_1",
        "server": "bank", "tool": "get_balance", "action": None, "exclusive": False, "cap": 300, "now": house.clock(),
    }
    return house.database.write(lambda s: leases.plan(s, **{**given, **changes}))


@pytest.fixture
def account(signed_in: People, bank: Provider, house: House) -> Connection:
    ada = signed_in("ada")
    connect(ada, bank)
    return rows(house, ada.person)[0]


def get(house: House, lease: Lease) -> Lease:
    with house.database.read() as session:
        return session.scalars(select(Lease).where(Lease.id == lease.id)).one()


def close(house: House, lease: Lease) -> None:
    house.database.write(lambda s: leases.close(s, lease.id, "done", house.clock()))


def due(house: House, lease: Lease) -> Due | None:
    with house.database.read() as session:
        return session.scalars(select(Due).where(Due.kind == END, Due.key == lease.id)).one_or_none()


def test_a_lease_and_its_entry_are_there_before_the_token(account: Connection, house: House, bank: Provider) -> None:
    lease = planned(house, account)
    assert log(house)[-1] == "lease.planned"
    assert get(house, lease).state == "planned"
    minted = leases.mint(house, lease)
    assert bank.introspect(minted.token.reveal())["scope"] == "accounts:read"
    close(house, lease)
    assert (get(house, lease).state, get(house, lease).outcome) == ("closed", "done")
    assert due(house, lease) is None


def test_a_plan_that_is_rolled_back_leaves_no_lease(account: Connection, house: House) -> None:
    def work(session: Session) -> None:
        leases.plan(
            session, connection=account, scopes=["accounts:read"], person=account.person, client="c", grant="g", server="bank",
            tool="t", action=None, exclusive=False, cap=300, now=house.clock(),
        )
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        house.database.write(work)
    with house.database.read() as session:
        assert session.scalars(select(Lease).where(Lease.connection == account.id)).all() == []


def test_an_account_serves_nobody_but_its_owner(account: Connection, house: House) -> None:
    with pytest.raises(Conflict):
        planned(house, account, person="per_stranger")


@pytest.fixture
def alone(bank: Provider, house: House, keeper: KeeperParts) -> Iterator[Scripted]:
    """The same bank, where one token can be ended alone; its revocation endpoint writes down what it is asked."""
    with scripted() as made:
        own_file(keeper, "harbour", "{overrides: harbour, base_scopes: [openid]}")
        house.door.provider_put("harbour", record(bank, revoke_url=f"{made.url}/revoke"))
        yield made


def settled(house: House, lease: Lease) -> str:
    with house.database.read() as session:
        found = session.get(Revocation, lease.id)
    assert found is not None
    return found.state


def test_an_exclusive_token_is_ended_at_the_provider_when_its_call_is_over(
    account: Connection, house: House, alone: Scripted
) -> None:
    leases.mint(house, planned(house, account))
    lease = planned(house, account, exclusive=True)
    token = leases.mint(house, lease).token.reveal()
    close(house, lease)
    row = due(house, lease)
    assert row is not None
    assert row.run_at <= house.clock()
    alone.revocation = 503
    again = end_lease(house, row)
    assert again is not None
    assert again > house.clock()
    alone.revocation = 200
    assert end_lease(house, row) is None
    assert [form["token"] for form in alone.revoked] == [token, token]
    assert (get(house, lease).state, settled(house, lease)) == ("ended", "confirmed")


def test_where_ending_one_token_would_end_the_grant_a_lease_ends_by_itself(
    account: Connection, house: House, bank: Provider
) -> None:
    shared = leases.mint(house, planned(house, account))
    lease = planned(house, account, exclusive=True)
    leases.mint(house, lease)
    close(house, lease)
    row = due(house, lease)
    assert row is not None
    assert end_lease(house, row) is None
    assert (get(house, lease).state, settled(house, lease)) == ("ended", "unsupported")
    assert bank.introspect(shared.token.reveal())["active"]


def test_an_exclusive_token_whose_caller_died_is_ended_all_the_same(
    account: Connection, house: House, alone: Scripted, clock: Clock
) -> None:
    lease = planned(house, account, exclusive=True)
    token = leases.mint(house, lease).token.reveal()
    row = due(house, lease)
    assert row is not None
    clock.forward(seconds=420)  # the keeper's own clock has gone on meanwhile
    assert row.run_at <= clock.now
    assert end_lease(house, row) is None
    assert (get(house, lease).state, get(house, lease).outcome) == ("ended", "abandoned")
    assert [form["token"] for form in alone.revoked] == [token]


def test_a_held_action_is_always_exclusive(account: Connection, house: House) -> None:
    assert planned(house, account, action="act_1").exclusive


def test_a_lease_is_closed_once(account: Connection, house: House) -> None:
    lease = planned(house, account, exclusive=True)
    leases.mint(house, lease)
    close(house, lease)
    house.database.write(lambda s: leases.close(s, lease.id, "failed", house.clock()))
    assert get(house, lease).outcome == "done"
    assert log(house).count("lease.closed") == 1


def test_when_the_grant_is_over_the_person_sees_it_and_is_led_back(
    account: Connection, house: House, signed_in: People, bank: Provider
) -> None:
    with scripted() as elsewhere:
        house.door.provider_put("harbour", elsewhere.record())
        with pytest.raises(NeedsConsent):
            leases.mint(house, planned(house, account))
    ada = signed_in("ada")
    page = ada.get("/connections").text
    assert "Nothing can use this account until you reconnect it" in page
    assert f"/connections/new?connection={account.id}" in page
    assert "connection.needs_consent" in log(house)


def test_the_page_shows_what_used_the_account(account: Connection, house: House, signed_in: People) -> None:
    client = Client(id="cli_1", kind="agent", name="Ledger Desk", redirect_uris=[], created_at=house.clock())
    house.database.write(lambda s: s.add(client))
    lease = planned(house, account)
    close(house, lease)
    ada = signed_in("ada")
    page, one = ada.get("/connections").text, ada.get(f"/connections/{account.id}").text
    for words in ("Ledger Desk", "Last used", "get_balance"):
        assert words in page
    assert "Done" in one
    assert "a call that needed no approval" in one


def test_a_lease_that_a_token_client_never_gave_back_is_closed_by_its_time(
    account: Connection, house: House, clock: Clock
) -> None:
    handed = planned(house, account, consent="cst_1", server="cli_desk")
    under_way = planned(house, account)
    exclusive = planned(house, account, consent="cst_1", exclusive=True)
    clock.forward(seconds=300)
    clean(house, Due(kind=LEASES, key="all"))
    assert get(house, handed).state == "planned", "its token may live to the last second"
    clock.forward(seconds=61)
    clean(house, Due(kind=LEASES, key="all"))
    assert [get(house, one).state for one in (handed, exclusive, under_way)] == ["closed", "closed", "planned"]
    assert (get(house, handed).outcome, get(house, handed).closed_at) == ("handed out", get(house, handed).until)


def test_leases_are_forgotten_after_their_time_in_bounded_batches(
    account: Connection, house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "BATCH", 2)
    for _ in range(3):
        close(house, planned(house, account))
    at_provider = planned(house, account, exclusive=True)
    house.database.write(lambda s: s.execute(update(Lease).where(Lease.id == at_provider.id).values(ref="r", state="closed")))
    clock.forward(seconds=house.settings.broker.history + 1)
    young = planned(house, account)
    assert clean(house, Due(kind=LEASES, key="all")) <= clock() + timedelta(seconds=1), "there is more"
    assert clean(house, Due(kind=LEASES, key="all")) == clock() + timedelta(hours=1)
    with house.database.read() as session:
        left = set(session.scalars(select(Lease.id)))
    assert left == {at_provider.id, young.id}, "one whose token is not ended yet is kept"


def test_the_cleaner_comes_with_the_first_account(account: Connection, house: House) -> None:
    with house.database.read() as session:
        assert session.scalars(select(Due.key).where(Due.kind == LEASES)).all() == ["all"]
    assert jobs[LEASES] is clean


def test_the_last_use_of_each_account_is_one_query(account: Connection, house: House, clock: Clock) -> None:
    other = house.database.write(lambda s: _second(s, account))
    for connection in (account, other, account):
        clock.forward(seconds=1)
        last = planned(house, connection)
    asked: list[str] = []
    with house.database.read() as session:
        event.listen(session.get_bind(), "before_cursor_execute", lambda _c, _cur, sql, *_: asked.append(sql))
        found = reader.summaries(session, [account.id, other.id, "con_none"], clock() - timedelta(days=30))
    assert len([sql for sql in asked if "FROM lease" in sql or "leases" in sql]) == 2
    newest = found[account.id].last
    assert newest is not None
    assert newest.id == last.id
    assert [found[one].count for one in (account.id, other.id, "con_none")] == [2, 1, 0]
    assert found["con_none"].last is None


def test_what_is_counted_is_said_and_bounded(
    account: Connection, house: House, signed_in: People, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases are kept for more than a year: the page counts those of 30 days, says so, and reads no more rows than it counts."""
    for name in ("cli_old", "cli_1"):
        row = Client(id=name, kind="agent", name=f"Agent {name}", redirect_uris=[], created_at=clock())
        house.database.write(partial(_added, row))
    planned(house, account, client="cli_old", now=clock() - timedelta(days=30, minutes=1))
    ada = signed_in("ada")
    assert "Not once in the last 30 days" in ada.get(f"/connections/{account.id}").text
    assert "None in the last 30 days" in ada.get("/connections").text
    for _ in range(3):
        planned(house, account)
    page = ada.get(f"/connections/{account.id}").text
    assert "3 times in the last 30 days" in page
    assert "Every use" in page
    listed = ada.get("/connections").text
    assert "used in the last 30 days by <bdi>Agent cli_1</bdi>" in " ".join(listed.split())
    assert "Agent cli_old" not in listed
    monkeypatch.setattr(uses, "COUNTED", 2)
    monkeypatch.setattr(pages, "USES_SHOWN", 2)
    page = ada.get(f"/connections/{account.id}").text
    assert "More than 2 times in the last 30 days" in page
    assert "The latest 2 uses" in page


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_counting_reads_the_index(account: Connection, house: House, clock: Clock) -> None:
    asked: list[tuple[str, Any]] = []
    with house.database.read() as session:
        event.listen(session.get_bind(), "before_cursor_execute", lambda _c, _cur, sql, values, *_: asked.append((sql, values)))
        reader.summaries(session, [account.id, "con_none"], clock() - timedelta(days=30))
        sql, values = next((sql, values) for sql, values in asked if "UNION ALL" in sql)
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
    assert sum("ix_leases_connection_planned_at (connection=? AND planned_at>?)" in str(row) for row in plan) == 2, plan


def _added(row: Client, session: Session) -> None:
    session.add(row)


def _second(session: Session, account: Connection) -> Connection:
    row = Connection(
        id="con_second", person=account.person, provider=account.provider, account="acc-2", label="Second", scopes=account.scopes,
        status="active", created_at=account.created_at, connected_at=account.connected_at,
    )
    session.add(row)
    session.flush()
    session.expunge(row)
    return row
