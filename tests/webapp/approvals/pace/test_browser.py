"""Deciding in Chromium: approving is slow, rejecting is easy, and neither is ever an accident."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.app_parts import Browser as Client
from tests.browser_parts import chromium, look_through, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.pace.test_looks import right, several
from tests.webapp.approvals.pace.test_quality import plant
from tests.webapp.approvals.parts import Server, action, draft, held
from webapp.people import cookies
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
APPROVE = re.compile("^Approve")
MORNING = datetime(2026, 11, 3, 8, tzinfo=UTC)


@pytest.fixture
def ada(someone: Enrol) -> Client:
    return someone("ada")[0]


@pytest.fixture
def page(app: Flask, house: House, someone: Enrol, server: Server) -> Iterator[Page]:
    """A browser in which Bob of finance is signed in, with a passkey of its own."""
    bob, _ = someone("bob", ["finance", "admin"])
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = bob.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        made.goto("/you/factors/passkey")
        made.get_by_role("button", name="Create the passkey").click()
        made.wait_for_url("**/you")
        # A live page loads itself again when its action moves on, perhaps in the middle of the answer to the form.
        made.route("**/actions/count", lambda route: route.abort())
        yield made


def test_the_button_sleeps_until_what_decides_was_in_view_and_enter_never_approves(
    page: Page, house: House, ada: Client
) -> None:
    """By hand, by keyboard alone, and after a change; nothing is focused on load. It is never a trap: a press leads on."""
    house.settings.approvals.dwell_ms = 10_000
    one, two = several(house, ada.person, 2)
    page.clock.install(time=MORNING)
    page.clock.pause_at(MORNING + timedelta(hours=1))  # the button wakes when the test says so, however slow the machine is
    page.set_viewport_size({"width": 360, "height": 380})
    page.goto(f"/actions/{one}")
    button, why = page.get_by_role("button", name=APPROVE), page.locator("#asleep")
    assert page.evaluate("document.activeElement === document.body")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("aria-describedby", "asleep")
    expect(why).to_contain_text("why it is held")
    page.keyboard.press("Enter")
    for _ in range(3):
        button.focus()
        page.keyboard.press("Space")
    expect(why).to_have_text("A moment, to read it once more.")
    page.clock.run_for(10_001)
    expect(button).to_be_enabled()
    page.evaluate("document.querySelector('#now .need').append(' Somebody approved it.')")
    expect(button).to_be_disabled()
    page.clock.run_for(10_001)
    expect(button).to_be_enabled()
    page.evaluate("document.querySelector('#now time').textContent = '3 s left'")
    button.focus()
    page.keyboard.press("Enter")
    expect(why).to_contain_text("Enter does not approve")
    expect(button).to_be_enabled()
    assert action(house, one).state == "held"
    with page.expect_navigation():
        page.keyboard.press("Space")
    assert action(house, one).state == "approved"
    page.set_viewport_size({"width": 1280, "height": 740})
    page.goto(f"/actions/{two}")
    expect(why).to_have_text("A moment, to read it once more.")
    page.get_by_text("Reject…").click()
    page.get_by_label("Wrong amount.").check()
    page.keyboard.press("Enter")
    assert action(house, two).state == "held"
    places = [one.bounding_box() for one in (button, page.get_by_role("button", name="Reject it"))]
    assert places[0] is not None
    assert places[1] is not None
    assert places[0]["y"] + places[0]["height"] < places[1]["y"], "they share no place"


def test_a_typed_detail_a_report_and_its_end(page: Page, house: House, ada: Client) -> None:
    house.settings.approvals.quick_row, house.settings.approvals.dwell_ms = 1, 0
    first, second, third = several(house, ada.person, 3)
    page.goto(f"/actions/{first}")
    look_through(page)
    with page.expect_navigation():
        page.get_by_role("button", name=APPROVE).click()
    page.goto(f"/actions/{second}")
    look_through(page)
    field = page.get_by_label(re.compile("^Type the"))
    field.fill("17")
    field.press("Enter")
    expect(page.locator("#asleep")).to_contain_text("Enter does not approve")
    with page.expect_navigation():
        page.get_by_role("button", name="Approve this").click()
    expect(page.get_by_role("alert").first).to_contain_text(re.compile("^(What you typed is not|Type the last)"))
    expect(field).to_have_value("17")
    assert action(house, second).state == "held"
    looked_at(page, "typed")
    field.fill(right(house, second)[1])
    with page.expect_navigation():
        page.get_by_role("button", name="Approve this").click()
    assert action(house, second).state == "approved"
    page.goto(f"/actions/{third}")
    page.get_by_text("Reject…").click()
    page.get_by_text("Report the agent too…").click()
    page.get_by_label("This looks like fraud.").check()
    looked_at(page, "rejecting")
    with page.expect_navigation():
        page.get_by_role("button", name="Reject and report").click()
    assert action(house, third).state == "rejected"
    assert action(house, second).state == "withdrawn"
    page.goto("/")
    page.get_by_role("link", name="Look, and resume it if all is well").click()
    looked_at(page, "reports")
    page.get_by_label("Why it may go on").fill("It was a test.")
    page.get_by_role("button", name="Resume it").click()
    expect(page.get_by_text("It was a test.")).to_be_visible()
    for who, seconds, verdict in ((ada.person, 1, "approve"), (ada.person, 40, "approve"), ("per_cleo", 15, "reject")):
        plant(house, who, 12, seconds=seconds, verdict=verdict, band=1 + seconds // 15, missed=1)
    page.goto("/approvals/quality")
    looked_at(page, "quality")


def test_a_code_is_never_sent_by_enter_and_without_javascript_the_button_is_awake(
    app: Flask, house: House, ada: Client, someone: Enrol, server: Server
) -> None:
    """The markup alone: the first button of each form is off, so a browser has nothing to press (HTML, implicit submission)."""
    bob, _ = someone("bob", ["finance"])
    shown = bob.get(f"/actions/{held(house, draft(house, ada.person))}").text
    forms = re.findall(r"<form[^>]*action=\"/actions/[^\"]*/(?:decide|reject)\"[^>]*>(.*?)</form>", shown, re.DOTALL)
    assert len(forms) >= 2
    for form in forms:
        assert re.search(r"<button[^>]*>", form)[0] == "<button disabled hidden>"  # type: ignore[index]
    assert "aria-disabled" not in shown
    assert "autofocus" not in shown
