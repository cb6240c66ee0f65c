"""What a rule asks for, as an approver's open page shows it in Chromium: several groups, hours, escalation, one human twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.app_parts import Browser as Client
from tests.browser_parts import chromium, go, look_through, looked_at, open_page, served
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import ORDER, TWO, Server, action, decide, draft, held, need
from tests.webapp.approvals.test_hours import within
from vault.evidence import Need
from webapp.approvals import jobs
from webapp.db.due import Due
from webapp.people import cookies, linking
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def bea(someone: Enrol) -> Client:
    return someone("bea", ["finance", "legal"])[0]


@pytest.fixture
def page(app: Flask, house: House, bea: Client, server: Server) -> Iterator[Page]:
    """Bea's, with a passkey of its own, and live."""
    house.settings.evaluation = True
    house.settings.approvals.dwell_ms = 0
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = bea.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        made.goto("/you/factors/passkey")
        made.get_by_role("button", name="Create the passkey").click()
        made.wait_for_url("**/you")
        yield made


def test_what_each_group_hours_and_links_mean_for_whoever_has_the_page_open(
    page: Page, house: House, someone: Enrol, clock: Clock, bea: Client
) -> None:
    ada, (bob, bob_key) = someone("ada")[0], someone("bob", ["finance"])
    now = page.locator("#now")

    both = held(house, draft(house, ada.person), [need(), need(group="legal", rule="contract")])
    go(page, f"/actions/{both}")
    expect(now).to_contain_text("0 of 1 from finance")
    look_through(page)
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(now).to_contain_text("You have given your word. It waits for others.")
    expect(now.get_by_text(re.compile("^1 of 1 from"))).to_have_count(1)
    expect(now.get_by_text(re.compile("^0 of 1 from"))).to_have_count(1)
    assert action(house, both).state == "held", "in two groups, and one human"
    looked_at(page, "two-groups")
    assert decide(bob, bob_key, both).status_code == 303
    expect(page.locator("#now .now")).to_have_attribute("data-state", "approved")

    steps = [{"group": "leads", "after": 1800}, {"group": "board", "after": 7200}]
    later = held(house, draft(house, ada.person, order={**ORDER, "reference": "b"}), [cast(Need, {**need(), "escalate": steps})])
    go(page, f"/actions/{later}")
    expect(now).to_contain_text("leads may decide in its place from")
    clock.forward(minutes=31)
    assert jobs.expire(house, Due(key=later)) is not None
    expect(now).to_contain_text("leads may decide in its place by now")
    expect(now).to_contain_text("board may decide in its place from")
    looked_at(page, "escalated")

    shut = held(house, draft(house, ada.person, order={**ORDER, "reference": "c"}), [within(3)], within=6 * 86400)
    go(page, f"/actions/{shut}")
    expect(page.locator("#decide")).to_contain_text("This can be decided in business hours only, again from")
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
    looked_at(page, "out-of-hours")
    page.get_by_text("Reject…").first.click()
    page.locator("#decide textarea").fill("Not on a holiday.")
    page.get_by_role("button", name="Reject it").click()
    expect(now).to_contain_text("You rejected it")

    twice = held(house, draft(house, ada.person, order={**ORDER, "reference": "d"}), TWO)
    linking.link(house, bob.person, bea.person)
    assert decide(bob, bob_key, twice).status_code == 303
    go(page, f"/actions/{twice}")
    expect(now).to_contain_text("You have given your word under another sign-in of yours. One person counts once")
    expect(now).not_to_contain_text("Bea can give it")
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
    looked_at(page, "linked")
