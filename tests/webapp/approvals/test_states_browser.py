"""States of an action that a walk does not come to, and lists that are long or asked for wrongly, in Chromium: what axe-core
finds in them, in both themes and on a phone (`looked_at`). What only time or a thief would bring about is written into the
database: the pages cannot tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from tests.browser_parts import looked_at
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.desk.parts import put, row
from tests.webapp.approvals.parts import APPROVE, ORDER, TWO, decide, draft, held
from tests.webapp.approvals.test_afresh import restore
from tests.webapp.approvals.test_browser_absence import chrome, signed
from tests.webapp.approvals.test_codes import with_app
from webapp.approvals import Draft
from webapp.approvals.tables import Decision
from webapp.web.house import House

__all__ = ["chrome"]
pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


def from_elsewhere(house: House, person: str) -> Draft:
    """Of a call whose recipient stood in a mail, and whose amount stood nowhere."""
    made, at = draft(house, person), house.clock() - timedelta(minutes=2)
    found = {"found": True, "server": "mail", "tool": "read_mail", "outside": True, "at": at.isoformat(timespec="seconds")}
    return replace(made, facts={**made.facts, "origins": {"within": 3600, "recipient": found, "amount": {"found": False}}})


@pytest.mark.long
def test_states_that_no_walk_comes_to(chrome: Browser, house: House, someone: Enrol) -> None:
    """Where its values come from; a passkey or a code; before and after a backup was restored; a decision that does not verify.
    Long: six pages in three shapes, and two people who enrol."""
    house.settings.evaluation = True  # a factor need not be a day old
    ada, _ = someone("ada")
    bob, key = someone("bob", groups=["finance"])
    with_app(bob)
    page = signed(chrome, house, bob)
    page.goto(f"/actions/{held(house, from_elsewhere(house, ada.person))}")
    expect(page.get_by_text("From what strangers can write")).to_be_visible()
    expect(page.get_by_text("Unknown origin: in no result known here")).to_be_visible()
    looked_at(page, "origins")
    expect(page.get_by_role("button", name="Approve").first).to_be_visible()
    page.get_by_text("Use an authenticator code instead").click()
    looked_at(page, "either-factor")
    one = held(house, draft(house, ada.person, order={**ORDER, "amount": "31.00"}), TWO)
    assert decide(bob, key, one).status_code == 303
    house.database.write(lambda s: s.execute(update(Decision).where(Decision.action == one).values(signature="vault:v1:AAAA")))
    page.goto(f"/actions/{one}")
    expect(page.get_by_text("does not verify and counts for nothing")).to_be_visible()
    looked_at(page, "forged")
    restored(page, house, someone, ada.person)


def restored(page: Page, house: House, someone: Enrol, person: str) -> None:
    """One that waited, one that was half decided, and one that may have run."""
    cleo, key = someone("cleo", groups=["finance"])
    waits, half, whole = (
        held(house, draft(house, person, order={**ORDER, "amount": f"{number}.00"}), needs)
        for number, needs in ((32, TWO), (33, TWO), (34, APPROVE))
    )
    for one in (half, whole):
        assert decide(cleo, key, one).status_code == 303
    restore(house)
    for one, words, name in (
        (waits, "This instance was restored from a backup", "restored-waits"),
        (half, "somebody had decided on it before the instance was restored", "restored-void"),
        (whole, "It was approved before this instance was restored from a backup", "restored-uncertain"),
    ):
        page.goto(f"/actions/{one}")
        expect(page.get_by_text(words).first).to_be_visible()
        looked_at(page, name)


@pytest.mark.long
def test_lists_that_are_long_and_filters_that_say_nothing(chrome: Browser, house: House, someone: Enrol) -> None:
    """More than a page of the queue and of the history, and an amount in words. Long: pages of fifty rows."""
    bob, _ = someone("bob", groups=["finance"])
    now = house.clock()
    put(house.database, [row(now, number, amount_minor=(number + 1) * 100) for number in range(60)])
    ended = {"state": "done", "decided_at": now, "started_at": now, "ended_at": now}
    put(house.database, [row(now, 100 + number, **ended) for number in range(60)])
    page = signed(chrome, house, bob)
    page.goto("/actions")
    expect(page.locator("#queue .rows > li")).to_have_count(50)
    expect(page.get_by_text("The first 50 are shown")).to_be_visible()
    looked_at(page, "queue-long")
    page.goto("/history")
    expect(page.get_by_role("link", name="Older")).to_be_visible()
    looked_at(page, "history-long")
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".rows > li")).to_have_count(10)
    looked_at(page, "history-rest")
    for path, name in (("/actions?low=plenty", "queue-refused"), ("/history?low=9&high=1", "history-refused")):
        answer = page.goto(path)
        assert answer
        assert answer.status == 400
        expect(page.get_by_role("alert").first).to_be_visible()
        looked_at(page, name)
