"""Figures and trials of rules in Chromium: axe-core finds nothing, in both themes, and nothing scrolls sideways on a phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tests.app_parts import Browser, People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.parts import draft, forge, held
from tests.webapp.insights.parts import action, kept
from tests.webapp.insights.test_trials import work
from tests.webapp.policy.parts import call, counted, payment
from webapp.audit import sequence
from webapp.insights import trials
from webapp.insights.tables import Trial
from webapp.people import cookies
from webapp.policy import active
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
RULE = '@id("writes-wait") @reason("Writes wait") @hold("confirm") forbid (principal, action, resource in ToolGroup::"write");'


@pytest.fixture
def root(signed_in: People) -> Browser:
    return signed_in("root", groups=["admin", "finance"])


@pytest.fixture
def page(app: Flask, house: House, root: Browser) -> Iterator[Page]:
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = root.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        yield made


def rules_that_speak(page: Page) -> None:
    """What is always approved, and what never spoke; as a file, and on to who decides."""
    rules = page.get_by_role("region", name="Rules", exact=True)
    always, never = (rules.locator(f"h3:text-is('{name}') ~ ul").first for name in ("Always approved", "Never spoke"))
    expect(always.get_by_role("listitem")).to_have_text(["large-payment: 1 of 1 approved"])
    expect(never.get_by_role("listitem").filter(has_text="large-payment")).to_have_count(0)
    expect(never.get_by_role("listitem").filter(has_text="person-daily-limit")).to_have_count(1)
    with page.expect_download() as got:
        rules.get_by_role("link", name="These as CSV").click()
    assert "large-payment," in Path(got.value.path()).read_text()
    rules.get_by_role("link", name="how people decide").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How people decide")
    page.go_back()


def test_from_the_figures_to_a_trial_of_other_rules(page: Page, house: House, root: Browser) -> None:
    """Empty first; then figures, a mark of regret that shows in them, a refused file, a trial under way, and its result."""
    active.at_start(house)
    house.settings.insights.cases = 1
    now = house.clock()
    page.goto("/insights")
    expect(page.get_by_text("was looked at or decided yet")).to_be_visible()
    looked_at(page, "empty")
    for number in range(40):
        tool = "send_payment" if number % 3 else "add_payee"
        action(house.database, now - timedelta(hours=number), look=20 + number * number, decided=60 + 2 * number * number,
               tool=tool, asks_owner=number % 4 == 0)
    one = held(house, draft(house, "per_ada"))
    forge(house, one, state="done", decided_at=now, started_at=now, ended_at=now)
    sequence(house)
    page.goto(f"/actions/{one}")
    page.get_by_text("It should not have run").first.click()
    page.get_by_label("Why not?").fill("The invoice was a forgery.")
    looked_at(page, "regret")
    page.get_by_role("button", name="Say so").click()
    expect(page.get_by_role("heading", name="It should not have run")).to_be_visible()
    page.goto("/actions")
    page.get_by_role("link", name="Figures").click()
    expect(page.get_by_text("The invoice was a forgery.")).to_be_visible()
    expect(page.get_by_role("heading", name="By hour of day")).to_be_visible()
    looked_at(page, "figures")
    rules_that_speak(page)
    shipped = active.loaded(house.settings)
    for number in range(12):
        asked = payment("4800.00", usage=counted()) if number % 3 else call(cls="write", usage=counted(), tool="note")
        kept(house.database, shipped, asked, now=now - timedelta(hours=number))
    page.get_by_role("link", name="Try other rules").click()
    page.get_by_label("One file of rules").fill("forbid (")
    page.get_by_label("Its name").fill("mine.cedar")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("alert")).to_contain_text("mine.cedar")
    looked_at(page, "refused")
    page.get_by_label("One file of rules").fill(RULE)
    page.route("**/now", lambda route: route.abort())  # while it is looked at, nothing is drawn anew
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    looked_at(page, "waiting")
    page.unroute("**/now")
    page.reload()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    worker = threading.Thread(target=work, args=(house,))
    worker.start()
    expect(page.get_by_text("4 would newly be held")).to_be_visible()
    worker.join()
    looked_at(page, "result")
    page.get_by_role("link", name="Try other rules").click()
    expect(page.get_by_role("row").filter(has_text="mine.cedar")).to_contain_text("Done")
    looked_at(page, "trials")
    _under_way_and_failed(page, house)


def _under_way_and_failed(page: Page, house: House) -> None:
    """What a worker writes meanwhile, and where the rules were changed under it."""
    page.route("**/now", lambda route: route.abort())
    states: dict[str, dict[str, Any]] = {
        "running": {"state": "running", "done": 5, "total": 12, "ended_at": None},
        "failed": {"state": "failed", "problem": trials.CHANGED},
    }
    page.get_by_role("row").filter(has_text="mine.cedar").get_by_role("link").click()
    for name, values in states.items():
        house.database.write(lambda s, values=values: s.execute(update(Trial).values(**values)))
        page.reload()
        expect(page.locator("#trial")).to_contain_text({"running": "5 of 12 calls.", "failed": "Begin it again."}[name])
        looked_at(page, name)
