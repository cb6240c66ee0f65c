"""Kill -9 of the keeper at each point of a renewal, at each kind of provider: no account is lost whose provider's answer was
kept, and where the answer was lost the person is told, and is back in two clicks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests import token_parts
from tests.app_parts import Browser as Client
from tests.app_parts import People
from tests.browser_parts import chromium, faults, open_page, served
from tests.clock import Clock
from tests.doomed import POINTS
from tests.figures import Figures
from tests.fleet import Fleet, running
from tests.keeper_parts import PUBLIC_URL, KeeperParts, until
from tests.scripted_provider import Scripted, serve
from tests.webapp.connections.parts import log, only, rows
from vault.errors import KeeperAway, NeedsConsent
from vault.secret import Secret
from webapp.broker import leases
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.people import cookies
from webapp.web.house import House

pytestmark = pytest.mark.both

FAMILIES = {"grace": {"grace": True}, "strict": {}, "jealous": {"reuse_kills": True}, "steady": {"rotates": False}}
"""Providers whose refresh tokens rotate, with a period of grace, without one, and with all of a consent ended when one is shown
twice; and one whose do not rotate."""
EACH = 1
UNFORGIVING = ("strict", "jealous")
UNKNOWN = ("claimed", "answered")


@pytest.fixture(scope="module")
def fleet(keeper_session: KeeperParts) -> Iterator[Fleet]:
    keeper_session.mend()
    with running(keeper_session, 1, 1, dict.fromkeys(FAMILIES, "{extends: harbour}")) as made:
        yield made


@pytest.fixture
def house(database: Database, keeper: KeeperParts, fleet: Fleet, clock: Clock) -> Iterator[House]:
    """As every test's, but its keeper is one that can die."""
    assert keeper
    fleet.spare()
    fleet.ahead(0)
    fleet.ready()
    yield House(Settings(public_url=PUBLIC_URL, database_url=database.url), database, fleet.doors[0], clock)
    fleet.spare()


@pytest.fixture
def providers() -> Iterator[dict[str, Scripted]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(serve(**ways)) for name, ways in FAMILIES.items()}


@dataclass(frozen=True)
class Account:
    family: str
    connection: str
    first: str
    """The refresh token that the consent gave."""


def accounts(house: House, providers: dict[str, Scripted]) -> list[Account]:
    made = []
    for family, provider in providers.items():
        for number in range(EACH):
            connection = token_parts.account(house, provider, f"per_{family}{number}", entry=family)
            made.append(Account(family, connection, f"refresh-secret-{provider._count}"))
    return made


def row(house: House, connection: str) -> Connection:
    with house.database.read() as session:
        return session.get_one(Connection, connection)


def mint(house: House, connection: str) -> str:
    """A planned lease's token; or the code of what was answered instead."""
    found, now = row(house, connection), house.clock()
    lease = house.database.write(lambda s: leases.plan(
        s, connection=found, scopes=["accounts:read"], person=found.person, client="cli_1", grant="gra_1", server="bank",
        tool="t", action=None, exclusive=False, cap=300, now=now,
    ))
    try:
        return leases.mint(house, lease).token.reveal()
    except (KeeperAway, NeedsConsent) as error:
        return error.code


def all_die(house: House, fleet: Fleet, made: list[Account], point: str) -> None:
    fleet.doom(point, len(made))
    with ThreadPoolExecutor(len(made)) as pool:
        answers = list(pool.map(lambda one: mint(house, one.connection), made))
    assert answers == [KeeperAway.code] * len(made)
    assert not fleet.doomed
    fleet.ready()
    if point in UNKNOWN:
        fleet.ahead(31)


def lives_on(house: House, fleet: Fleet, one: Account, at: float) -> bool:
    """It serves now, and once more when what it serves now has ended: the newest refresh token is the one that is kept."""
    fleet.ahead(at)
    first = mint(house, one.connection)
    fleet.ahead(at + 3700)
    second = mint(house, one.connection)
    served = first.startswith("access-secret") and second.startswith("access-secret") and first != second
    assert served == (row(house, one.connection).status == "active")
    return served


def reconnected(house: House, provider: Scripted, one: Account) -> bool:
    found = row(house, one.connection)
    assert found.status == "needs_consent"
    assert "reconnect" in found.reason.lower()
    provider.account = found.account
    begun = house.door.connect_begin(
        provider=one.family, person=found.person, redirect_uri=f"{PUBLIC_URL}/connections/callback", scopes=found.scopes
    )
    house.door.connect_finish(
        connection=one.connection, person=found.person, sealed=begun.sealed, state=begun.state, code=Secret("a-code"),
        iss=provider.url,
    )
    return mint(house, one.connection).startswith("access-secret")


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_of_the_keeper_at_this_point_loses_no_account_whose_answer_was_kept(
    house: House, fleet: Fleet, providers: dict[str, Scripted], point: str, figures: Figures
) -> None:
    made = accounts(house, providers)
    all_die(house, fleet, made, point)
    at = 31.0 if point in UNKNOWN else 0.0
    lost = [one for one in made if not lives_on(house, fleet, one, at)]
    expected = [one for one in made if point == "answered" and one.family in UNFORGIVING]
    assert lost == expected
    assert log(house).count("connection.needs_consent") == len(lost)
    for one in made:
        if one.family != "steady":
            assert providers[one.family].shown()[one.first] == (2 if point == "answered" else 1), one
    assert all(reconnected(house, providers[one.family], one) for one in lost)
    where = "SQLite" if house.database.sqlite else "PostgreSQL"
    counted = Counter({
        "renewals whose keeper was killed": len(made),
        "accounts lost though the answer was kept": len([one for one in lost if one not in expected]),
        "accounts whose answer was lost: told, and reconnected": len(lost),
        "accounts whose answer was lost: the provider's grace saved them":
            sum(point == "answered" and one.family not in UNFORGIVING for one in made),
    })
    for what, count in counted.items():
        figures.add(f"kill -9 at four points, {where}: {what}", count)


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ada(signed_in: People, keeper: KeeperParts, monkeypatch: pytest.MonkeyPatch) -> Client:
    only(monkeypatch, keeper, "harbour")
    return signed_in("ada")


@pytest.fixture
def page(app: Flask, house: House, ada: Client) -> Iterator[Page]:
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = ada.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        yield made


@pytest.mark.real
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whoever_lost_an_account_with_the_answer_is_told_and_back_in_two_clicks(
    page: Page, house: House, fleet: Fleet, ada: Client
) -> None:
    with serve(reuse_kills=True) as provider:
        house.door.provider_put("harbour", provider.record())
        page.goto("/connections/new?provider=harbour")
        page.get_by_role("button", name="Continue to Harbour Bank").click()
        page.wait_for_url(re.compile("/connections$"))
        connection = rows(house, ada.person)[0].id
        fleet.doom("answered")
        assert mint(house, connection) == KeeperAway.code
        until(lambda: not fleet.doomed, "the keeper dies")
        fleet.ready()
        fleet.ahead(31)
        assert mint(house, connection) == NeedsConsent.code
        expect(page.get_by_text("until you reconnect it").first).to_be_visible()  # by itself
        assert faults(page) == []
        page.get_by_role("link", name="Reconnect Harbour Bank").click()
        page.get_by_role("button", name="Continue to Harbour Bank").click()
        page.wait_for_url(re.compile(r"/connections(/con_\w+)?$"))
        assert mint(house, connection).startswith("access-secret")
        page.reload()
        expect(page.get_by_text("Healthy").first).to_be_visible()
