"""The accounts pages in Chromium: the redirect to a real provider passes the pages' own CSP, and axe-core finds nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.app_parts import Browser as Client
from tests.app_parts import People
from tests.browser_parts import chromium, faults, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.oidc_provider import Provider
from tests.webapp.connections.parts import begin, rows
from webapp.broker.jobs import revoke
from webapp.connections import states
from webapp.connections.states import REVOKE
from webapp.db.due import Due
from webapp.people import cookies
from webapp.web.house import House

PATIENCE = 30_000
pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def ada(signed_in: People, bank: Provider) -> Client:
    assert bank
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


def looked_at(page: Page, name: str) -> None:
    """Nothing that axe-core or the width of a small phone finds wrong, in both themes. `SHOTS` names a folder for pictures."""
    size = page.viewport_size
    assert size
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        assert faults(page) == [], page.url
        if folder := os.environ.get("SHOTS"):
            page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320, page.url
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}-320.png", full_page=True)
    page.set_viewport_size(size)


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
    page.get_by_label("Your own name for it").fill("Household")
    page.get_by_role("button", name="Keep this name").click()
    assert page.get_by_role("heading", name="Harbour Bank, Household").is_visible()
    page.get_by_role("button", name="Pause Harbour Bank").click()
    assert page.get_by_text("Paused by you").is_visible()
    looked_at(page, "one-paused")
    page.get_by_role("button", name="Resume Harbour Bank").click()
    assert page.get_by_text("Healthy").is_visible()
    page.get_by_role("link", name="Disconnect…").click()
    looked_at(page, "disconnect")
    page.get_by_role("button", name="Disconnect Harbour Bank").click()
    expect(page.get_by_text("Harbour Bank not told yet")).to_be_visible()
    looked_at(page, "pending")
    connection = rows(house, ada.person)[0].id
    assert revoke(house, Due(kind=REVOKE, key=connection, payload={})) is None
    page.reload()
    expect(page.get_by_text("Ended at Harbour Bank")).to_be_visible()
    looked_at(page, "ended")


def test_an_account_that_needs_consent_says_so_and_leads_back(page: Page, house: House, ada: Client) -> None:
    page.goto("/connections/new?provider=harbour")
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.wait_for_url(re.compile("/connections$"))
    connection = rows(house, ada.person)[0].id
    reason = "The provider refused the last renewal. Nothing can use this account until you reconnect it."
    house.database.write(lambda s: states.needs_consent(s, connection, reason, house.clock()))
    page.reload()
    expect(page.get_by_text(reason)).to_be_visible()
    looked_at(page, "needs-consent")
    page.get_by_role("link", name="Reconnect", exact=True).click()
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.wait_for_url(re.compile("/connections$"))
    expect(page.get_by_text("Healthy")).to_be_visible()


def test_a_refusal_at_the_provider_is_a_page_with_a_next_step(page: Page, ada: Client) -> None:
    page.goto(f"{begin(ada)}&login_hint=nobody")
    expect(page.get_by_role("heading", name="Harbour Bank was not connected")).to_be_visible()
    looked_at(page, "refused")
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="Connect Harbour Bank")).to_be_visible()
