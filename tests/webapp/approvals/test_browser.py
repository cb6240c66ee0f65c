"""The action page in Chromium: a page that stays open keeps a challenge that can still be answered."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.app_parts import Browser as Client
from tests.browser_parts import chromium, look_through, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import CONFIRM, Server, action, draft, held
from tests.webapp.approvals.test_undo import with_undo
from webapp.people import cookies
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
FOUR_MINUTES = 4 * 60 * 1000


@pytest.fixture
def ada(someone: Enrol) -> Client:
    return someone("ada")[0]


@pytest.fixture
def page(app: Flask, house: House, ada: Client, server: Server) -> Iterator[Page]:
    """A browser in which Ada is signed in, with a passkey of its own, whose clock the test moves."""
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = ada.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        made.goto("/you/factors/passkey")
        made.get_by_role("button", name="Create the passkey").click()
        made.wait_for_url("**/you")
        made.clock.install()
        yield made


def challenge_on(page: Page) -> tuple[str | None, str]:
    form = page.locator("form[data-refresh]")
    return form.get_attribute("data-options"), form.locator("input[name=sealed]").input_value()


def test_a_page_that_is_open_for_four_minutes_gets_a_fresh_challenge_and_decides_with_it(
    page: Page, house: House, ada: Client
) -> None:
    """A challenge lives for five; the page asks before. Where the first answer does not come, it asks again."""
    held_id = held(house, draft(house, ada.person), CONFIRM)
    page.goto(f"/actions/{held_id}")
    before, asked = challenge_on(page), list[str]()
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/challenge") else None)
    page.clock.run_for(FOUR_MINUTES - 30_000)
    assert asked == []
    assert challenge_on(page) == before
    page.route("**/challenge", lambda route: route.abort(), times=1)
    with page.expect_event("requestfailed"):
        page.clock.run_for(60_000)
    with page.expect_response("**/challenge") as answered:
        page.clock.run_for(30_000)
    assert answered.value.ok
    page.wait_for_function("before => document.querySelector('form[data-refresh]').dataset.options !== before", arg=before[0])
    fresh = challenge_on(page)
    assert fresh[0] != before[0]
    assert fresh[1] != before[1]
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or "") if request.url.endswith("/decide") else None)
    look_through(page)
    page.clock.run_for(house.settings.approvals.dwell_ms + 1000)
    with page.expect_navigation():
        page.get_by_role("button", name=re.compile("^Confirm")).click()
    assert action(house, held_id).state == "approved"
    assert fresh[1].split("=")[0][:40] in sent[0]


def test_what_was_confirmed_counts_down_and_is_stopped_with_one_button(page: Page, house: House, ada: Client) -> None:
    """For 30 seconds; a screen reader is not told of every second, and nothing is left to press after."""
    house.settings.approvals.dwell_ms = 0
    held_id = held(with_undo(house, 30), draft(house, ada.person), CONFIRM)
    page.goto(f"/actions/{held_id}")
    look_through(page)
    with page.expect_navigation():
        page.get_by_role("button", name=re.compile("^Confirm")).click()
    counting = page.locator("time[data-runs]").first
    expect(counting).to_have_text(re.compile("^in [0-9]+ s$"))
    before = counting.text_content()
    page.clock.run_for(3000)
    expect(counting).not_to_have_text(before or "")
    assert page.locator("[role=status] time[data-runs], [aria-live] time[data-runs]").count() == 0
    looked_at(page, "undo")
    with page.expect_navigation():
        page.get_by_role("button", name="Stop it").click()
    assert action(house, held_id).state in ("rejected", "withdrawn")
    expect(page.get_by_role("button", name="Stop it")).to_have_count(0)
