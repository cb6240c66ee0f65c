"""The accounts pages in Chromium: the redirect to a real provider passes the pages' own CSP, and axe-core finds nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from tests.app_parts import Browser as Client
from tests.app_parts import People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.oidc_provider import Provider
from tests.webapp.connections.parts import begin, connect, only, rows
from webapp.broker import leases
from webapp.broker.jobs import revoke
from webapp.clients.tables import Client as Client_
from webapp.connections import consents, states
from webapp.connections.states import REVOKE
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.oauth import grants
from webapp.people import cookies
from webapp.registry.tables import Server, Tool
from webapp.web.house import House

PATIENCE = 30_000
pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def ada(signed_in: People, bank: Provider, keeper: KeeperParts, monkeypatch: pytest.MonkeyPatch) -> Client:
    assert bank
    only(monkeypatch, keeper, "harbour")
    return signed_in("ada")


@pytest.fixture
def page(app: Flask, house: House, ada: Client) -> Iterator[Page]:
    """A browser in which Ada is signed in."""
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = ada.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        yield made


def test_an_account_is_connected_looked_at_paused_and_taken_back(page: Page, house: House, ada: Client) -> None:
    page.goto("/connections")
    looked_at(page, "empty")
    page.get_by_role("link", name=re.compile("Harbour Bank")).click()
    looked_at(page, "new")
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.wait_for_url(re.compile("/connections$"))
    expect(page.get_by_text("Harbour Bank is connected.")).to_be_visible()
    looked_at(page, "connected")
    page.get_by_role("button", name="Pause Harbour Bank").click()
    expect(page.get_by_text("Paused by you")).to_be_visible()
    looked_at(page, "paused")
    page.get_by_role("button", name="Resume Harbour Bank").click()
    page.get_by_role("link", name=re.compile("See every use")).click()
    page.wait_for_url(re.compile("/connections/con_"))
    looked_at(page, "one")
    page.get_by_text("Give it a name of your own").click()
    page.get_by_label("Your own name for it").fill("Household")
    page.get_by_role("button", name="Keep this name").click()
    expect(page.get_by_role("heading", name="Harbour Bank, Household")).to_be_visible()
    page.get_by_role("button", name="Pause Harbour Bank").click()
    expect(page.get_by_text("Paused by you")).to_be_visible()
    looked_at(page, "one-paused")
    page.get_by_role("button", name="Resume Harbour Bank").click()
    expect(page.get_by_text("Healthy")).to_be_visible()
    page.get_by_role("link", name="Disconnect…").click()
    looked_at(page, "disconnect")
    page.get_by_role("button", name="Disconnect Harbour Bank").click()
    expect(page.get_by_text("Harbour Bank not told yet")).to_be_visible()
    looked_at(page, "pending")
    connection = rows(house, ada.person)[0].id
    assert revoke(house, Due(kind=REVOKE, key=connection, payload={})) is None
    expect(page.get_by_text("Ended at Harbour Bank")).to_be_visible(timeout=PATIENCE)  # by itself
    expect(page.get_by_text("The keys were destroyed here")).to_be_visible()
    looked_at(page, "ended")


def test_an_account_that_needs_consent_says_so_and_leads_back(page: Page, house: House, ada: Client) -> None:
    page.goto("/connections/new?provider=harbour")
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.wait_for_url(re.compile("/connections$"))
    connection = rows(house, ada.person)[0].id
    reason = "The provider refused the last renewal. Nothing can use this account until you reconnect it."
    house.database.write(lambda s: states.needs_consent(s, connection, reason, house.clock()))
    expect(page.get_by_role("link", name="Reconnect Harbour Bank")).to_be_visible(timeout=PATIENCE)  # by itself
    looked_at(page, "needs-consent")
    page.get_by_role("link", name="See every use").click()
    page.wait_for_url(re.compile("/connections/con_"))
    looked_at(page, "one-needs-consent")
    page.get_by_role("link", name="Reconnect", exact=True).click()
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.wait_for_url(re.compile("/connections/con_"))
    expect(page.get_by_text("Healthy")).to_be_visible()


def test_several_accounts_with_all_that_may_use_them(page: Page, house: House, ada: Client, bank: Provider) -> None:
    """A default, an agent, a server, uses held and not, a renewal that failed, one more thing to allow, and a list of many."""
    first, second = connect(ada, bank, ["accounts:read"]), connect(ada, bank, as_="bob")
    house.database.write(lambda s: users(s, house, ada.person, first))
    page.goto("/connections")
    expect(page.get_by_text("Calls that do not say which")).to_be_visible()
    looked_at(page, "several")
    page.goto(f"/connections/{first}")
    expect(page.get_by_text("Ledger Desk").first).to_be_visible()
    looked_at(page, "one-full")
    page.goto(f"/connections/{second}")
    looked_at(page, "one-not-default")
    page.goto(f"/connections/{second}/disconnect")
    looked_at(page, "disconnect-one-of-two")
    page.goto(f"/connections/new?connection={first}&add=payments:send")
    expect(page.get_by_text("Stays as it is")).to_be_visible()
    page.get_by_label("Send payments").check()
    looked_at(page, "add")
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.wait_for_url(re.compile("/connections/con_"))
    page.goto("/connections/new?provider=harbour")
    looked_at(page, "new-again")
    page.goto("/connections/new?q=send")
    looked_at(page, "list")
    page.goto("/connections/new?q=nowhere")
    looked_at(page, "list-empty")


def users(session: Session, house: House, person: str, connection: str) -> None:
    """An agent by its grant, a server by a consent, and what they did."""
    now = house.clock()
    agent = Client_(id="cli_desk", kind="agent", name="Ledger Desk", redirect_uris=[], created_at=now)
    session.add_all([agent, Client_(id="cli_books", kind="token", name="Bookkeeping", redirect_uris=[], created_at=now)])
    session.flush()
    resource = f"{house.settings.public_url}/mcp/bank"
    grants.consent(session, person=person, client=agent, resource=resource, scopes=["mcp"], now=now)
    session.add(Server(
        id="srv_bank", name="bank", title="Harbour Bank", url="http://127.0.0.1:1/mcp", manifest="m", created_at=now,
        created_by="t",
    ))
    session.flush()
    credential = {"provider": "harbour", "scopes": ["accounts:read", "payments:send"], "placement": "authorization"}
    session.add(Tool(
        id="tool_1", server_id="srv_bank", name="send_payment", status="approved", listed="{}", approved="{}", pin="p",
        cls="money", credential=credential, first_seen_at=now, changed_at=now,
    ))
    consents.give(
        session, person=person, client="cli_books", connection=connection, scopes=["accounts:read"], kind="person", now=now
    )
    row = session.get_one(Connection, connection)
    for tool, action in (("get_balance", None), ("send_payment", "act_1")):
        lease = leases.plan(
            session, connection=row, scopes=["accounts:read"], person=person, client="cli_desk", grant="gra_1", server="bank",
            tool=tool, action=action, exclusive=False, cap=300, now=now,
        )
        leases.close(session, lease.id, "done", now)


def test_a_refusal_at_the_provider_is_a_page_with_a_next_step(page: Page, ada: Client) -> None:
    page.goto(f"{begin(ada)}&login_hint=nobody")
    expect(page.get_by_role("heading", name="Harbour Bank was not connected")).to_be_visible()
    looked_at(page, "refused")
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="Connect Harbour Bank")).to_be_visible()
