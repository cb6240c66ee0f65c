"""Counts are true: badge, title, heading, tab and list say the same, and as many as there are, whatever happened before."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import update

from tests.app_parts import Browser
from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.desk.parts import put, row
from webapp.approvals.desk import snoozing
from webapp.approvals.tables import Action
from webapp.web.house import House

STEPS = 30
HEAD = re.compile(r"([0-9]+\+?) actions? waits? for you")
PAGES = {
    "badge": re.compile(r'id="waiting".*?<span class="count num">([0-9]+\+?)<', re.DOTALL),
    "title": re.compile(r"<title>\(([0-9]+\+?)\)"), "heading": re.compile(rf'<h1 class="title">{HEAD.pattern}</h1>'),
    "tab": re.compile(r'href="/actions"[^>]*>Waiting for me <span class="num">([0-9]+\+?)<'),
}
SNOOZED = re.compile(r"Snoozed <span class=\"num\">([0-9]+\+?)<")


@dataclass
class Model:
    """What there is, kept beside the app: when each lapses, and until when it is put off."""

    lapses: dict[str, datetime] = field(default_factory=dict)
    until: dict[str, datetime] = field(default_factory=dict)

    def waiting(self, now: datetime) -> set[str]:
        return {one for one, at in self.lapses.items() if at > now and self.until.get(one, now) <= now}

    def snoozed(self, now: datetime) -> set[str]:
        return {one for one, at in self.lapses.items() if at > now and self.until.get(one, now) > now}


def told(page: str, words: re.Pattern[str]) -> str:
    found = words.search(page)
    return found[1] if found else "0"


def listed(page: str) -> set[str]:
    return set(re.findall(r'<li id="row-(act_\w+)"', page))


def agree(browser: Browser, model: Model, now: datetime) -> None:
    waiting, snoozed = model.waiting(now), model.snoozed(now)
    page, later, start = (browser.get(path).text for path in ("/actions", "/actions?tab=snoozed", "/"))
    assert {name: told(page, words) for name, words in PAGES.items()} == dict.fromkeys(PAGES, str(len(waiting)))
    assert (listed(page), listed(later)) == (waiting, snoozed)
    assert [told(one, SNOOZED) for one in (page, later)] == [str(len(snoozed))] * 2
    assert told(later, PAGES["badge"]) == told(start, PAGES["badge"]) == str(len(waiting))
    assert ("All clear" in start) == (not waiting and not snoozed)
    assert ("Nothing waits for you<" in page) == (not waiting and not snoozed)


class Doing:
    """One thing at a time, at random, in the app and in the model."""

    def __init__(self, house: House, browser: Browser, clock: Clock, chosen: random.Random) -> None:
        self.house, self.browser, self.clock, self.chosen, self.model = house, browser, clock, chosen, Model()

    def hold(self) -> None:
        now = self.clock.now
        minutes = [self.chosen.randint(20, 240) for _ in range(self.chosen.randint(1, 3))]
        rows = [row(now, expires_at=now + timedelta(minutes=each)) for each in minutes]
        for each, one in zip(rows, put(self.house.database, rows), strict=True):
            self.model.lapses[one] = each["expires_at"]

    def hold_what_is_not_theirs(self) -> None:
        now, bob = self.clock.now, self.browser.person
        put(self.house.database, [row(now), row(now, state="approved")], "board")
        put(self.house.database, [row(now, owner=bob), row(now, person=bob)])
        put(self.house.database, [row(now, edited_by=bob)])

    def end(self) -> None:
        for one in self._some(self.model.lapses):
            state = self.chosen.choice(("approved", "done", "rejected", "expired", "withdrawn", "void", "uncertain"))
            self.house.database.write(
                lambda s, one=one, state=state: s.execute(update(Action).where(Action.id == one).values(state=state))
            )
            del self.model.lapses[one]

    def put_off(self) -> None:
        now, choice = self.clock.now, self.chosen.choice(("15m", "1h"))
        some = self._some(self.model.waiting(now))
        if some and self.browser.send("/actions/snooze", pick=some, until=choice).status_code == 303:
            for one in some:
                at = snoozing.wake_at(snoozing.asked_for(choice, now, "UTC"), self.model.lapses[one], now)
                self.model.until |= {one: at} if at else {}

    def bring_back(self) -> None:
        some = self._some(self.model.snoozed(self.clock.now))
        if some and self.browser.send("/actions/wake", pick=some).status_code == 303:
            for one in some:
                del self.model.until[one]

    def wait(self) -> None:
        self.clock.forward(minutes=self.chosen.choice((1, 14, 15, 25)))

    def _some(self, of: object) -> list[str]:
        found = sorted(of)  # type: ignore[call-overload]
        return self.chosen.sample(found, min(len(found), self.chosen.randint(1, 2)))


def test_whatever_is_held_ends_is_put_off_and_lapses_all_say_the_same_number(
    house: House, someone: Enrol, clock: Clock
) -> None:
    bob, _ = someone("bob", ["finance"])
    doing = Doing(house, bob, clock, random.Random(7))
    agree(bob, doing.model, clock.now)
    acts = (
        doing.hold, doing.hold_what_is_not_theirs, doing.hold, doing.put_off, doing.end, doing.put_off, doing.bring_back,
        doing.wait,
    )
    for number in range(STEPS):
        act = acts[number] if number < len(acts) else doing.chosen.choice(acts)
        act()
        agree(bob, doing.model, clock.now)


def test_beyond_a_hundred_all_of_them_say_that_there_are_more(house: House, someone: Enrol, clock: Clock) -> None:
    bob, _ = someone("bob", ["finance"])
    ones = put(house.database, [row(clock.now) for _ in range(99)])
    page = bob.get("/actions").text
    assert {told(page, words) for words in PAGES.values()} == {"99"}
    put(house.database, [row(clock.now)])
    page = bob.get("/actions").text
    assert {told(page, words) for words in PAGES.values()} == {"99+"}
    assert len(listed(page)) == house.settings.approvals.page < len(ones)
