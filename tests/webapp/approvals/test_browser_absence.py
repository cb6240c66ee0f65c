"""Claims, more time, nobody left, being away, groups and break-glass in Chromium: by keyboard, in both themes, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.app_parts import Browser as Client
from tests.app_parts import People
from tests.browser_parts import chromium, look_through, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, action, draft, held, need
from tests.webapp.approvals.test_standing_in import house, own
from webapp.people import cookies
from webapp.web.house import House

__all__ = ["house"]
pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def chrome(app: Flask, server: Server) -> Iterator[Browser]:
    with served(app) as port, chromium(port) as opened:
        yield opened


def signed(chrome: Browser, house: House, who: Client) -> Page:
    """A page in which somebody is signed in, with a passkey of its own. Its live stream is left out: that may load it anew."""
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = who.get_cookie(name)
    assert cookie is not None
    page = open_page(chrome)
    page.route("**/actions/count", lambda route: route.abort())
    page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
    page.goto("/you/factors/passkey")
    page.get_by_role("button", name="Create the passkey").click()
    page.wait_for_url("**/you")
    return page


def test_people_stand_in_for_each_other(
    chrome: Browser, house: House, someone: Enrol, signed_in: People, server: Server
) -> None:
    house.settings.evaluation = True
    crew = f"crew-{signed_in.run}"
    ada, fin, bob = someone("ada")[0], someone("fin", groups=[crew])[0], someone("bob")[0]
    root = someone("root", groups=["admin"])[0]
    own(house).settings = replace(own(house).settings, break_glass=frozenset({root.person}))
    held_id = held(house, draft(house, ada.person), [need(group=crew)], within=3600, latest=3 * 3600)
    two = held(house, draft(house, ada.person, grant="grt_2"), [need(group=crew, quorum=2)])

    page = signed(chrome, house, fin)
    page.goto(f"/actions/{held_id}")
    page.get_by_role("button", name="I am on it").press("Enter")
    expect(page.locator("#now")).to_contain_text("You are on it")
    page.get_by_role("button", name="Have it wait until").press("Enter")
    expect(page.get_by_role("button", name="Have it wait until")).to_have_count(0)
    looked_at(page, "claimed")
    page.goto("/you/away")
    looked_at(page, "away")
    page.get_by_label("To whom").select_option(bob.person)
    page.get_by_label("Until the end of").first.fill((house.clock() + timedelta(days=3)).date().isoformat())
    page.get_by_label("money").check()
    page.get_by_label("Up to this amount").fill("500")
    page.get_by_role("button", name="Look at it, then sign").click()
    looked_at(page, "sign")
    page.get_by_role("button", name="Sign with your passkey").click()
    page.wait_for_url("**/you/away")
    expect(page.locator("main")).to_contain_text(f"You lend {crew} to Bob")
    page.context.close()

    page = signed(chrome, house, bob)
    page.goto(f"/actions/{held_id}")
    expect(page.locator("#now")).to_contain_text("Fin is on it")
    expect(page.locator("#decide")).to_be_visible()
    page.goto(f"/actions/{two}")
    expect(page.locator("#now")).to_contain_text("Nobody who is there now can decide this.")
    looked_at(page, "nobody")
    page.context.close()

    page = signed(chrome, house, root)
    page.goto("/start")
    page.goto("/")
    expect(page.locator("main")).to_contain_text("Nobody can decide these")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing else waits for you")
    expect(page.locator("main")).not_to_contain_text("All clear")
    looked_at(page, "stuck")
    page.goto(f"/groups/{crew}")
    page.get_by_role("button", name="Put on call").press("Enter")
    expect(page.locator("main")).to_contain_text("8:00 to 18:00")
    looked_at(page, "group")
    page.goto(f"/actions/{two}")
    page.get_by_text("Nobody else can decide in time?").press("Enter")
    looked_at(page, "glass")
    page.get_by_role("link", name="Read what happens then…").click()
    page.wait_for_url(f"**/actions/{two}/alone")
    _what_changed_while_it_was_about_to_be_passed(page, house, server, held_id)
    house.settings.approvals.dwell_ms = 600_000
    page.goto(f"/actions/{two}/alone")
    looked_at(page, "alone")
    _sleeps_as_the_button_of_every_decision(page, house, two)
    _another_call_than_the_page_showed_is_not_passed(page, house, two)
    page.wait_for_url(f"**/actions/{two}")
    assert action(house, two).state == "approved"
    page.goto("/incidents")
    page.get_by_role("link", name="Send a payment").click()
    looked_at(page, "incident")
    page.context.close()

    page = signed(chrome, house, fin)
    page.goto("/actions")
    expect(page.locator("main")).to_contain_text("Somebody broke the glass")
    looked_at(page, "told")
    page.get_by_role("button", name="I have seen this").press("Enter")
    page.wait_for_url(PUBLIC_URL + "/")
    expect(page.locator("main")).not_to_contain_text("Somebody broke the glass")


def _what_changed_while_it_was_about_to_be_passed(page: Page, house: House, server: Server, held_id: str) -> None:
    """Nothing is passed: the action's page says why not, and keeps the reason that was written."""
    house.settings.approvals.dwell_ms = 0
    page.goto(f"/actions/{held_id}/alone")
    page.get_by_label("Why can this not wait for them?").fill("The other approver is in hospital.")
    look_through(page)
    server.drift = "the server describes send_payment otherwise now"
    with page.expect_response(f"**/actions/{held_id}/alone") as answered:
        page.get_by_role("button", name="Break the glass with your passkey").click()
    server.drift = None
    assert (answered.value.status, action(house, held_id).state) == (409, "void")
    expect(page.get_by_role("region", name="What changed since you looked")).to_contain_text("describes send_payment otherwise")
    expect(page.locator("#typed")).to_contain_text("The other approver is in hospital.")


def _sleeps_as_the_button_of_every_decision(page: Page, house: House, held_id: str) -> None:
    """Until what decides was in view and a moment is over; and Enter does not press it then either."""
    button, why = page.get_by_role("button", name="Break the glass with your passkey"), page.locator("#asleep")
    reason = page.get_by_label("Why can this not wait for them?")
    reason.fill("The other approver is in hospital.")
    look_through(page)
    expect(why).to_have_text("A moment, to read it once more.")
    button.press("Space")
    expect(button).to_be_disabled()
    house.settings.approvals.dwell_ms = 0
    page.reload()
    look_through(page)
    expect(button).to_be_enabled()
    reason.fill("The other approver is in hospital.")
    reason.press("Enter")
    expect(reason).to_have_value("The other approver is in hospital.\n")
    button.press("Enter")
    expect(why).to_contain_text("Enter does not approve")
    assert action(house, held_id).state == "held"


def _another_call_than_the_page_showed_is_not_passed(page: Page, house: House, held_id: str) -> None:
    """It is read again before it is, and what was typed is there."""
    button, reason = page.get_by_role("button", name="Break the glass with your passkey"), page.get_by_label("Why can this")
    reason.fill("The other approver is in hospital.")
    page.locator("form[action$=alone] [name=shown]").evaluate("field => { field.value = '0'.repeat(64); }")
    with page.expect_response(f"**/actions/{held_id}/alone") as answered:
        button.press("Space")
    assert answered.value.status == 409
    expect(page.get_by_role("alert").first).to_be_visible()
    expect(reason).to_have_value("The other approver is in hospital.")
    assert action(house, held_id).state == "held"
    looked_at(page, "alone-changed")
    look_through(page)
    expect(button).to_be_enabled()
    button.press("Space")
