"""Recovery codes and signing out everywhere, in Chromium with a real provider: in both themes, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.browser_parts import chromium, go, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.oidc_provider import Provider, serve
from webapp.people.sign_in import CALLBACK

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The true one: who signs in half a minute after the test began would come from the future of one that stands still."""
    return lambda: datetime.now(UTC)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serve([PUBLIC_URL + CALLBACK], people={"alice": {"groups": ["user"], "name": "Alice Osei"}}) as started:
        yield started


@pytest.fixture
def browser(app: Flask, provider: Provider, keeper: KeeperParts) -> Iterator[Browser]:
    keeper.door.idp_put("main", provider.record(groups_claim="groups"))
    with served(app) as port, chromium(port) as opened:
        yield opened


def sign_in(page: Page) -> None:
    page.goto("/sign-in?next=/you")
    page.get_by_role("button", name=re.compile("Continue with")).click()
    page.wait_for_url(re.compile(r"/sign-in/second|/you/factors/first"))


def new_passkey(page: Page) -> None:
    page.get_by_role("link", name="Set up a passkey").click()
    page.wait_for_url(re.compile("/you/factors/passkey"))  # loaded whole: before its script runs the button sends an empty form
    page.get_by_role("button", name="Create the passkey").click()
    page.wait_for_url("**/you")


def test_lost_devices_a_code_on_paper_and_signed_out_everywhere(browser: Browser) -> None:
    page = open_page(browser)
    sign_in(page)
    new_passkey(page)
    expect(page.get_by_text("You have no recovery codes")).to_be_visible()
    looked_at(page, "you")
    page.get_by_role("link", name="Recovery codes").click()
    looked_at(page, "codes-none")
    page.get_by_role("button", name="Make ten recovery codes").click()
    expect(page.locator(".codes li")).to_have_count(10)
    looked_at(page, "codes")
    code = page.locator(".codes li").first.inner_text()

    other = open_page(browser)
    sign_in(other)
    looked_at(other, "second")
    other.get_by_role("link", name=re.compile("Use a recovery code")).click()
    other.get_by_label("Recovery code").fill("0000 0000 0000")
    other.get_by_role("button", name="Continue", exact=True).click()
    expect(other.get_by_role("alert")).to_contain_text("not accepted")
    looked_at(other, "use")
    other.get_by_label("Recovery code").fill(code.upper())
    other.get_by_role("button", name="Continue", exact=True).click()
    expect(other.get_by_role("heading", name="Set up a new second step")).to_be_visible()
    looked_at(other, "recovering")
    new_passkey(other)
    expect(other.get_by_text("9 recovery codes are left")).to_be_visible()

    other.get_by_text("Sign out everywhere, here too").click()
    looked_at(other, "everywhere")
    other.get_by_role("button", name="Sign out everywhere", exact=True).click()
    other.wait_for_url("**/sign-in?out=1")
    go(page, "/you")
    page.wait_for_url(re.compile("/sign-in"))
