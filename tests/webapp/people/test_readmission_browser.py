"""Two administrators let somebody in again, in Chromium with a real provider: each page in both themes, on a phone, and without
what axe-core faults (`looked_at`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser_parts import chromium, go, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.oidc_provider import Provider, serve
from tests.webapp.people.test_recovery_browser import new_passkey, sign_in
from webapp.people.sign_in import CALLBACK

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
WHY = "Left the bag with both on the train; called back on her desk line."


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The true one: who signs in half a minute after the test began would come from the future of one that stands still."""
    return lambda: datetime.now(UTC)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    people = {
        "ada": {"groups": ["admin"], "name": "Ada Lindqvist"}, "ben": {"groups": ["admin"], "name": "Ben Okafor"},
        "lost": {"groups": ["user"], "name": "Lou Stein", "email": "lou@example.test"},
    }
    with serve([PUBLIC_URL + CALLBACK], people=people) as started:
        yield started


@pytest.fixture
def browser(app: Flask, provider: Provider, keeper: KeeperParts) -> Iterator[Browser]:
    keeper.door.idp_put("main", provider.record(groups_claim="groups"))
    with served(app) as port, chromium(port) as opened:
        yield opened


def page_of(browser: Browser, who: str) -> Page:
    """A profile in which the provider takes whoever signs in for this person."""
    page = open_page(browser)

    def hint(route: Route) -> None:
        route.continue_(url=f"{route.request.url}&login_hint={quote(who)}")

    page.route(re.compile(r"/auth\?"), hint)
    sign_in(page)
    return page


def enrolled(browser: Browser, who: str) -> Page:
    page = page_of(browser, who)
    new_passkey(page)
    return page


def test_lost_everything_let_in_again_by_two_and_what_the_security_log_says(browser: Browser) -> None:
    lost, ada, ben = enrolled(browser, "lost"), enrolled(browser, "ada"), enrolled(browser, "ben")
    ada.get_by_role("link", name="Lost devices").click()
    looked_at(ada, "lost-none")
    ada.get_by_label("Who", exact=True).fill("lou@example.test")
    ada.get_by_label("Why, and how you know").fill(WHY)
    ada.get_by_role("button", name="Look at what that does").click()
    expect(ada.get_by_role("heading", name="Let Lou Stein in again?")).to_be_visible()
    looked_at(ada, "lost-sign")
    ada.get_by_role("button", name="Say the first word").click()
    expect(ada.get_by_text("Another administrator has to say the second, until")).to_be_visible()
    looked_at(ada, "lost-first")

    lost.goto("/you")
    expect(lost.get_by_role("heading", name="Somebody wants to let you in again")).to_be_visible()
    looked_at(lost, "lost-told")

    ben.goto("/you")
    expect(ben.get_by_text("1 to confirm")).to_be_visible()
    ben.get_by_role("link", name="Lost devices").click()
    looked_at(ben, "lost-list")
    ben.get_by_role("link", name="Lou Stein").click()
    looked_at(ben, "lost-second")
    ben.get_by_role("button", name="Confirm", exact=True).press("Enter")
    expect(ben.get_by_role("heading", name="Lou Stein may come")).to_be_visible()
    looked_at(ben, "lost-agreed")

    go(lost, "/you")
    lost.wait_for_url(re.compile("/sign-in"))
    again = page_of(browser, "lost")
    expect(again.get_by_role("heading", name="You can set up a new second step")).to_be_visible()
    looked_at(again, "lost-come")
    again.get_by_role("button", name="Set up a new second step").press("Enter")
    expect(again.get_by_text("it takes the place of everything you had")).to_be_visible()
    looked_at(again, "lost-anew")
    new_passkey(again)
    expect(again.get_by_text("The only one: it stays until there is another")).to_be_visible()
    ben.reload()
    expect(ben.get_by_role("heading", name="Lou Stein: came and set up a new second step")).to_be_visible()
    looked_at(ben, "lost-came")

    again.get_by_role("link", name="Security log").click()
    expect(again.get_by_text("Agreed that you set up a new second step")).to_be_visible()
    looked_at(again, "security")
    again.get_by_role("link", name=re.compile("This was not me ?: Came back after losing every device")).press("Enter")
    expect(again.get_by_role("heading", name="This was not you?")).to_be_visible()
    looked_at(again, "not-me")
    again.get_by_role("button", name="Sign out everywhere and tell administrators").press("Enter")
    expect(again.get_by_role("heading", name="You are signed out everywhere")).to_be_visible()
    looked_at(again, "not-me-done")
    ben.goto("/incidents")
    expect(ben.get_by_role("heading", name="People said that something was not them")).to_be_visible()
    looked_at(ben, "doubts")
    ben.get_by_role("button", name=re.compile("I have looked into it")).press("Enter")
    expect(ben.get_by_text("Noted: you have looked into it.")).to_be_visible()
    go(again, "/you")
    again.wait_for_url(re.compile("/sign-in"))
