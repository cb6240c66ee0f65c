"""Refresh tokens that end unless they are used are used in time, at a bounded pace; and a fixed end is foreseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests import token_parts
from tests.app_parts import People
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.scripted_provider import Scripted, serve
from tests.webapp.connections.parts import own_file
from vault.errors import NeedsConsent
from vault.providers.catalogue import load
from webapp.config import Settings
from webapp.connections import idle
from webapp.connections.health import health
from webapp.connections.jobs import jobs
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.due import Due
from webapp.web.house import House

ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
IDLE = 60


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> House:
    settings = Settings(instance=keeper.instance, public_url=PUBLIC_URL, database_url=database.url)
    return House(settings, database, keeper.door, clock)


@pytest.fixture
def provider(keeper: KeeperParts) -> Iterator[Scripted]:
    """Harbour, at which a token that is not used for 60 days ends, and everything after 100."""
    file = own_file(keeper, "harbour", f"overrides: harbour\nrefresh_idle_days: {IDLE}\nrefresh_absolute_days: 100\n")
    try:
        with serve() as made:
            yield made
    finally:
        file.unlink()


def run(house: House, kind: str, key: str) -> object:
    return jobs[kind](house, Due(id="due_1", kind=kind, key=key, run_at=house.clock(), payload={}, attempts=1))


def rows(house: House) -> list[str]:
    with house.database.read() as session:
        return sorted(session.scalars(select(Due.key).where(Due.kind == idle.RENEW)))


@ONE
def test_one_that_nobody_used_is_renewed_in_time_and_one_that_was_used_is_left_alone(
    house: House, app: Flask, signed_in: People, provider: Scripted, clock: Clock
) -> None:
    ada = signed_in("ada")
    account = token_parts.account(house, provider, ada.person)
    idle.plan(house)
    assert run(house, idle.LOOK, "all") == clock() + idle.DAILY
    assert run(house, idle.LOOK, "all") == clock() + idle.DAILY
    assert rows(house) == [account]
    asked = len(provider.refreshes)
    at = run(house, idle.RENEW, account)
    assert clock() + timedelta(days=IDLE * 0.4) - timedelta(minutes=5) <= at <= clock() + timedelta(days=IDLE / 2)  # type: ignore[operator]
    assert len(provider.refreshes) == asked, "it is young"
    clock.now = at  # type: ignore[assignment]
    after = run(house, idle.RENEW, account)
    assert len(provider.refreshes) == asked + 1
    assert after > clock() + timedelta(days=IDLE * 0.4) - timedelta(minutes=5)  # type: ignore[operator]
    assert house.door.mint(connection=account, person=ada.person, scopes=["accounts:read"], receiver="bank", cap=60).token
    house.database.write(lambda s: s.execute(update(Connection).where(Connection.id == account).values(status="paused")))
    clock.forward(days=IDLE)
    assert run(house, idle.RENEW, account) is None
    assert run(house, idle.RENEW, "con_nobody") is None


@ONE
def test_a_provider_that_refuses_ends_the_account_and_the_person_is_told(
    house: House, app: Flask, signed_in: People, provider: Scripted, clock: Clock
) -> None:
    ada = signed_in("ada")
    account = token_parts.account(house, provider, ada.person)
    provider.living.clear()
    clock.forward(days=IDLE)
    run(house, idle.RENEW, account)
    with house.database.read() as session:
        assert session.get_one(Connection, account).status == "needs_consent"
    with pytest.raises(NeedsConsent):
        house.door.mint(connection=account, person=ada.person, scopes=["accounts:read"], receiver="bank", cap=60)
    assert run(house, idle.RENEW, account) is None


@ONE
def test_all_are_renewed_when_somebody_asks_at_a_bounded_pace_at_each_provider(
    house: House, app: Flask, signed_in: People, provider: Scripted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their age; a paused one is left alone, and an API key is its person's."""
    ada, now, most = signed_in("ada"), clock(), house.settings.rotation.renewals_per_minute
    account = token_parts.account(house, provider, ada.person)
    others = [("harbour", "active")] * (2 * most) + [("github", "active"), ("harbour", "paused"), ("tavily", "active")]
    house.database.write(lambda s: s.add_all(
        Connection(
            id=f"con_zzz{number}", person=ada.person, provider=name, account=str(number), label="", scopes=[], status=status,
            created_at=now, connected_at=now, last_used_at=None, ended_at=None,
        ) for number, (name, status) in enumerate(others)
    ))
    planned = house.database.write(lambda s: idle.all_(s, house.settings, "", now))
    assert (planned.count, planned.last) == (2 * most + 2, now + timedelta(minutes=2))
    with house.database.read() as session:
        due = Counter(row.run_at for row in session.scalars(select(Due).where(Due.kind == idle.ASKED)))
    assert due == {now: most + 1, now + idle.MINUTE: most, now + 2 * idle.MINUTE: 1}
    again = house.database.write(lambda s: idle.all_(s, house.settings, "github", now))
    assert again == idle.Planned(1, now)
    monkeypatch.setattr(idle, "PACE", idle.Pace())
    house.settings.rotation.renewals_per_minute = 1
    asked = len(provider.refreshes)
    assert run(house, idle.ASKED, account) is None
    assert len(provider.refreshes) == asked + 1, "it is young, and renewed all the same"
    assert run(house, idle.ASKED, account) == clock() + idle.LATER, "of what waited while no worker ran, not all at once"
    assert len(provider.refreshes) == asked + 1
    assert run(house, idle.ASKED, f"con_zzz{len(others) - 2}") is None


def test_the_pace_is_bounded_for_each_provider(clock: Clock) -> None:
    pace = idle.Pace()
    clock.now = clock.now.replace(second=0)
    assert [pace.may("a", clock(), 30) for _ in range(35)].count(True) == 30
    assert pace.may("b", clock(), 30)
    clock.forward(minutes=1)
    assert pace.may("a", clock(), 30)


@ONE
def test_what_is_beyond_the_pace_is_renewed_a_minute_later(
    house: House, app: Flask, signed_in: People, provider: Scripted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "PACE", idle.Pace())
    limits = house.settings.rotation.model_copy(update={"renewals_per_minute": 1})
    slow = replace(house, settings=house.settings.model_copy(update={"rotation": limits}))
    ada = signed_in("ada")
    first, second = (token_parts.account(house, provider, ada.person) for _ in range(2))
    clock.forward(days=IDLE)
    clock.now = clock.now.replace(second=0)
    run(slow, idle.RENEW, first)
    assert run(slow, idle.RENEW, second) == clock() + idle.LATER
    assert len(provider.refreshes) == 1
    clock.forward(minutes=1)
    run(slow, idle.RENEW, second)
    assert len(provider.refreshes) == 2


@ONE
def test_accounts_of_one_day_are_spread_and_the_fixed_end_is_foreseen(
    house: House, app: Flask, signed_in: People, provider: Scripted, clock: Clock
) -> None:
    facts = load(house.settings.instance, local=True)["harbour"]
    times = {idle.renew_at(facts, f"con_{number}", clock()) for number in range(50)}
    assert len(times) == 50
    assert all(clock() + timedelta(days=IDLE * 0.4) <= at <= clock() + timedelta(days=IDLE / 2) for at in times if at)
    ada = signed_in("ada")
    account = token_parts.account(house, provider, ada.person)
    with house.database.read() as session:
        row = session.get_one(Connection, account)
    ends = idle.ends_at(facts, row.connected_at)
    assert ends == row.connected_at + timedelta(days=100)
    state = house.door.connection(connection=account)
    for days, word in ((8, "Healthy"), (6, "Ends soon"), (-1, "Healthy")):
        assert health(row, state, "Harbour", ends - timedelta(days=days), ends=ends).word == word
    house.database.write(lambda s: s.execute(update(Connection).values(connected_at=clock() - timedelta(days=95))))
    page = ada.get("/connections").text
    assert "Ends soon" in page
    assert "however often it is used" in page


def test_a_provider_that_says_nothing_of_it_is_asked_nothing(clock: Clock, tmp_path: object) -> None:
    facts = load()["github"]
    assert idle.renew_at(facts, "con_1", clock()) is None
    assert idle.ends_at(facts, clock()) is None


def test_what_the_catalogue_says_of_it_is_documented() -> None:
    told = {name: one for name, one in load().items() if one.refresh_idle_days or one.refresh_absolute_days}
    assert {"google", "box", "atlassian", "microsoft", "quickbooks", "linkedin"} <= set(told)
    assert [name for name, one in told.items() if not one.docs] == []
    assert told["atlassian"].refresh_absolute_days == 365
