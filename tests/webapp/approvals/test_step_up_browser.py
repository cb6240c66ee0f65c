"""Deciding by signing in again, in Chromium with a real provider: there, what to press there, back, and what it says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.browser_parts import chromium, look_through, open_page, served
from tests.keeper_parts import PUBLIC_URL, KeeperParts, until
from tests.oidc_provider import Provider, serve
from tests.webapp.approvals.parts import APPROVE, Server, action, draft, held
from tests.webapp.notices.parts import person
from tests.webapp.people.test_recovery_browser import looked_at, new_passkey, sign_in
from webapp.approvals.step_up import BACK
from webapp.people.sign_in import CALLBACK
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
STRONG, STRONGER = "urn:example:strong", "urn:example:stronger"


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The true one, as the provider's and the browser's are."""
    return lambda: datetime.now(UTC)


@pytest.fixture
def provider() -> Iterator[Provider]:
    people = {"alice": {"groups": ["finance"], "name": "Alice Osei"}}
    with serve([PUBLIC_URL + CALLBACK, PUBLIC_URL + BACK], people=people, acr=STRONG, page=True) as started:
        yield started


def counts(keeper: KeeperParts, provider: Provider, acr: str) -> None:
    """From now on signing in again at this strength counts as a code does."""
    keeper.door.idp_put("main", provider.record(groups_claim="groups", step_up_acr={acr: "totp"}))


@pytest.fixture
def browser(app: Flask, server: Server, provider: Provider, keeper: KeeperParts) -> Iterator[Browser]:
    counts(keeper, provider, STRONGER)
    with served(app) as port, chromium(port) as opened:
        yield opened


def press(page: Page) -> None:
    """The way that the page offers besides the passkey, with all that decides in view."""
    look_through(page)
    if not page.locator("details:has(form[action$=sign-in-again])").evaluate("one => one.open"):
        page.get_by_text("Sign in again instead").click()
    page.get_by_role("button", name=re.compile("^Sign in again: Approve")).click()


def test_somebody_signs_in_again_there_and_what_was_too_weak_decides_nothing(
    browser: Browser, house: House, keeper: KeeperParts, provider: Provider
) -> None:
    """The form leads to another site by a page of ours in between, because `form-action` of our CSP would stop a redirect."""
    page = open_page(browser)
    sign_in(page)
    new_passkey(page)
    came_in = time.time()
    one = held(house, draft(house, person(house, "Ada")), APPROVE)
    page.goto(f"/actions/{one}")
    page.get_by_text("Sign in again instead").click()
    looked_at(page, "step-up")
    until(lambda: time.time() > came_in + 2, "a later second: the provider tells whole ones")

    page.route(f"{provider.issuer}/**", lambda route: route.fulfill(status=204))
    press(page)
    expect(page.get_by_role("heading", name="On to your identity provider")).to_be_visible()
    looked_at(page, "onward")
    page.unroute(f"{provider.issuer}/**")
    page.get_by_role("link", name="Continue, if nothing happens").click()
    page.get_by_role("button", name="Sign in as alice").click()
    expect(page.get_by_role("alert").filter(has_text="not strong enough")).to_be_visible()
    assert page.url.startswith(PUBLIC_URL)
    assert action(house, one).state == "held"
    looked_at(page, "step-up-weak")

    counts(keeper, provider, STRONG)
    page.goto(f"/actions/{one}")
    press(page)
    page.get_by_role("button", name="Sign in as alice").click()
    page.wait_for_url(f"**/actions/{one}")
    expect(page.get_by_role("listitem").filter(has_text="You approved by signing in again")).to_be_visible()
    assert action(house, one).state in ("approved", "executing", "done")
