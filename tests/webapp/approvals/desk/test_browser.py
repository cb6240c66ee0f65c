"""The queue in Chromium: by keys, live, several at once, put off, narrowed; and what it says when it is not told of changes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.app_parts import Browser as Client
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.desk.parts import put, row
from tests.webapp.approvals.parts import ORDER, Server, draft, forge, held, reject
from webapp.people import cookies
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def bob(someone: Enrol) -> Client:
    return someone("bob", ["finance"])[0]


@pytest.fixture
def page(app: Flask, house: House, bob: Client, server: Server) -> Iterator[Page]:
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = bob.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened, viewport={"width": 1200, "height": 900})
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        yield made


def ids(page: Page) -> list[str]:
    return [str(row.get_attribute("id")) for row in page.locator("#queue .rows > li").all()]


def test_the_queue_by_keys_and_live(page: Page, app: Flask, house: House, someone: Enrol, bob: Client) -> None:
    ada, _ = someone("ada")
    cleo, _ = someone("cleo", ["finance"])
    ordered = [held(house, draft(house, ada.person, order=ORDER | {"amount": f"2.{number}0"}), within=3600 + number * 600)
               for number in range(4)]
    page.goto("/actions")
    rows = page.locator("#queue .rows > li")
    expect(rows).to_have_count(4)
    assert ids(page) == [f"row-{one}" for one in ordered]
    other, asked = _refused_at_first(page)
    _keys(page)
    _live(page, house, ada, cleo, ordered)
    _several(page)
    _stale(page, app)
    for width in (1200, 360):
        page.set_viewport_size({"width": width, "height": 640})
        for tab in ("others", "mine"):
            _still(page, house, bob.person, tab)
        _still_at_the_start(page, house, ada.person, bob.person)
    expect(other.locator("#stale")).to_be_hidden()
    assert len(asked) > 1


def _refused_at_first(page: Page) -> tuple[Page, list[str]]:
    """Too many live pages were open when this one opened: it asks again by itself. What it asked for is in the list."""
    other, asked = page.context.new_page(), list[str]()
    other.on("request", lambda request: asked.append(request.url) if request.url.endswith("/actions/count") else None)
    other.route("**/actions/count", lambda route: route.fulfill(status=429, body="full"), times=1)
    other.goto("/actions")
    expect(other.locator("#stale")).to_be_visible()
    return other, asked


def _keys(page: Page) -> None:
    """They move and open and ask; none approves, none works while one types, and they are found without knowing them."""
    link = page.locator("#queue .rows a.go")
    page.get_by_role("button", name="All keys").click()
    expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()
    looked_at(page, "keys")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()
    page.keyboard.press("j")
    page.get_by_role("button", name="Close").click()
    page.locator("#main").focus()
    for key, at in (("j", 0), ("j", 1), ("k", 0), ("j", 1)):
        page.keyboard.press(key)
        expect(link.nth(at)).to_be_focused()
    for combined in ("Control+j", "Alt+j", "Meta+r", "Shift+J", "a", "y", "c"):
        page.keyboard.press(combined)
        expect(link.nth(1)).to_be_focused()
    page.get_by_role("searchbox").fill("")
    page.keyboard.type("jrs?")
    expect(page.get_by_role("searchbox")).to_have_value("jrs?")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.get_by_role("searchbox").fill("")


def _live(page: Page, house: House, ada: Client, cleo: Client, ordered: list[str]) -> None:
    """A row that comes waits behind a button, one that ends is grey where it is, and the focus stays on its row."""
    link = page.locator("#queue .rows a.go")
    link.nth(2).focus()
    page.locator(f"#row-{ordered[3]} input").check()
    link.nth(2).focus()
    before = link.nth(2).bounding_box()
    fresh = held(house, draft(house, ada.person, order=ORDER | {"amount": "77.00"}), within=600)
    expect(page.get_by_role("link", name="1 new: show it")).to_be_visible()
    assert reject(cleo, ordered[0]).status_code == 303
    expect(page.locator(f"#row-{ordered[0]}.gone")).to_contain_text("Rejected")
    assert ids(page) == [f"row-{one}" for one in ordered]
    expect(link.nth(2)).to_be_focused()
    expect(page.locator(f"#row-{ordered[3]} input")).to_be_checked()
    assert link.nth(2).bounding_box() == before, "neither what came nor what ended moves it"
    expect(page.get_by_role("heading", level=1)).to_have_text("4 actions wait for you")
    expect(page).to_have_title("(4) Actions · Counterseal")
    looked_at(page, "live")
    page.keyboard.press("n")
    expect(page.locator(f"#row-{fresh}")).to_be_visible()
    assert ids(page) == [f"row-{one}" for one in (fresh, *ordered[1:])]
    expect(link.nth(0)).to_be_focused()
    expect(page.locator(f"#row-{ordered[3]} input")).to_be_checked()
    page.locator(f"#row-{ordered[3]} input").uncheck()


def _found_and_taken_home(page: Page) -> None:
    """The search field, by Enter and by its button; and what is listed, as files."""
    page.goto("/actions")
    page.get_by_role("searchbox").fill("nobody of that name")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_text("4 actions wait for you that do not match.")).to_be_visible()
    expect(page.locator("#queue .rows > li")).to_have_count(0)
    page.get_by_role("link", name="Take the filter off").first.click()
    expect(page.locator("#queue .rows > li")).to_have_count(4)
    page.get_by_role("searchbox").fill("nordlicht")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**/actions?q=nordlicht**")
    listed = [one.removeprefix("row-") for one in ids(page)]
    assert len(listed) == 4
    files = dict[str, str]()
    for kind in ("CSV", "JSON"):
        with page.expect_download() as got:
            page.get_by_role("link", name=kind, exact=True).click()
        assert got.value.suggested_filename.endswith(f".{kind.lower()}")
        files[kind] = Path(got.value.path()).read_text()
    assert sorted(one["id"] for one in json.loads(files["JSON"])["actions"]) == sorted(listed)
    assert sorted(one["id"] for one in csv.DictReader(files["CSV"].lstrip("\ufeff").splitlines())) == sorted(listed)


def _several(page: Page) -> None:
    """Two are put off and come back by hand; two are rejected after a page that asks why; one by its key."""
    page.locator("#main").focus()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Reject 2…")).to_be_visible()
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="For 15 minutes")).to_be_focused()
    looked_at(page, "snooze")
    page.get_by_role("button", name="For 15 minutes").click()
    page.get_by_text("lapses too soon to be put off").wait_for()
    page.get_by_role("link", name="Snoozed 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Put off by you")
    looked_at(page, "snoozed")
    page.locator("[name=pick]").check()
    page.get_by_role("button", name="Bring back 1").click()
    _found_and_taken_home(page)
    page.goto("/actions?q=nordlicht&low=1&currency=eur")
    looked_at(page, "narrowed")
    page.locator(".views summary").click()
    page.get_by_label("Name", exact=True).fill("Nordlicht")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("link", name="Nordlicht", exact=True)).to_have_attribute("aria-current", "page")
    page.locator(".views summary").click()
    looked_at(page, "views")
    page.locator("#main").focus()
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.get_by_role("heading", name="Reject this action?").wait_for()
    page.go_back()
    page.locator("#queue .rows > li").first.wait_for()
    for box in page.locator("[name=pick]").all():
        box.check()
    page.get_by_role("button", name="Reject 4…").click()
    looked_at(page, "reject-several")
    page.get_by_label("Why not?").fill("Not before Monday.")
    page.get_by_role("button", name="Reject 4").click()
    page.get_by_role("heading", name="All 4 are rejected").wait_for()
    looked_at(page, "rejected-several")
    page.get_by_role("link", name="Send a payment").first.click()
    page.get_by_text("Everything that happened to it").click()
    page.get_by_role("link", name="On a page of its own").click()
    expect(page.locator(".life")).to_contain_text("Not before Monday.")
    looked_at(page, "life")
    page.goto("/history?low=100000000")
    looked_at(page, "history-none")


def _stale(page: Page, app: Flask) -> None:
    """A page that is not told of changes says since when, and not that all is clear."""
    page.goto("/actions")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    looked_at(page, "clear")
    page.goto("/")
    expect(page.get_by_role("heading", name="All clear")).to_be_visible()
    page.route("**/start", lambda route: route.fulfill(status=503, body="away"))
    page.evaluate("htmx.trigger('#waiting', 'actions')")
    expect(page.get_by_text("Not up to date since")).to_be_visible()
    expect(page.get_by_role("heading", name="All clear")).to_be_hidden()
    expect(page.get_by_role("heading", name="This may be out of date")).to_be_visible()
    looked_at(page, "stale")
    page.unroute("**/start")
    page.evaluate("htmx.trigger('#waiting', 'actions')")
    expect(page.get_by_role("heading", name="All clear")).to_be_visible()
    expect(page.get_by_text("Not up to date since")).to_be_hidden()
    page.route("**/actions/count", lambda route: route.abort())
    app.extensions["seats"].close()
    expect(page.get_by_text("Not up to date since")).to_be_visible()
    app.extensions["seats"].closed = False
    page.unroute("**/actions/count")
    expect(page.get_by_text("Not up to date since")).to_be_hidden()


def _still(page: Page, house: House, bob: str, tab: str) -> None:
    """The row under the pointer stays where it is, whatever becomes of those above it, and whatever comes."""
    made = _asked(house, bob, 4)
    page.goto(f"/actions?tab={tab}")
    bare, flagged, ending, pointed = [one for one in (each[4:] for each in ids(page)) if one in made]
    forge(house, flagged, flags=["new", "lookalike", "again"], cls="destroy")
    page.goto(f"/actions?tab={tab}")
    with unmoved(page, f"#row-{pointed}"):
        made += _asked(house, bob, 2)
        for one in (bare, flagged):
            forge(house, one, state="approved", run_by=house.clock() + timedelta(hours=1))
        forge(house, ending, state="rejected", ended_at=house.clock())
        page.evaluate("htmx.trigger('#waiting', 'actions')")
        expect(page.get_by_role("link", name="2 new: show them")).to_be_visible()
        for one in (bare, flagged):
            expect(page.locator(f"#row-{one}").get_by_text("Approved, not run yet")).to_be_visible()
    for one in made:
        forge(house, one, state="done", ended_at=house.clock())


def _still_at_the_start(page: Page, house: House, ada: str, bob: str) -> None:
    """There too, in each of its lists: also when something that has to be looked at comes above them."""
    theirs, own = _asked(house, ada, 3), _asked(house, bob, 3)
    page.goto("/")
    waiting = [str(row.get_attribute("id"))[len("waiting-"):] for row in page.locator("[id^=waiting-act]").all()]
    for pointed in (f"#waiting-{waiting[2]}", f"#recent-{own[0]}"):
        with unmoved(page, pointed):
            theirs += _asked(house, ada, 1)
            if pointed.startswith("#waiting"):
                forge(house, waiting[0], state="rejected", ended_at=house.clock())
            else:
                forge(house, own[1], state="uncertain", started_at=house.clock())
                own += _asked(house, bob, 1)
            page.evaluate("htmx.trigger('#waiting', 'actions')")
            if pointed.startswith("#waiting"):
                expect(page.locator(f"#waiting-{waiting[0]}.gone")).to_contain_text("Rejected")
                expect(page.get_by_role("link", name="1 new: show it")).to_be_visible()
            else:
                expect(page.get_by_role("heading", name="Somebody has to look")).to_be_visible()
                expect(page.get_by_role("link", name="2 new: show them")).to_be_visible()
    page.get_by_role("link", name="2 new: show them").click()
    expect(page.locator(f"#waiting-{theirs[-1]}")).to_be_visible()
    expect(page.locator(f"#waiting-{waiting[0]}")).to_have_count(0)
    expect(page.locator("#start .rows a.go").first).to_be_focused()
    for one in (*theirs, *own):
        forge(house, one, state="done", ended_at=house.clock())


def _asked(house: House, person: str, many: int) -> list[str]:
    who = {"person": person, "owner": person, "agent_owner": person}
    return put(house.database, [row(house.clock(), number, **who) for number in range(many)])


@contextmanager
def unmoved(page: Page, row_shown: str) -> Iterator[None]:
    """What happens within does not move the row that is pointed at."""
    pointed = page.locator(row_shown)
    pointed.hover()
    before = pointed.bounding_box()
    yield
    after = pointed.bounding_box()
    assert before
    assert after
    assert (after["x"], after["height"]) == (before["x"], before["height"]), row_shown
    assert abs(after["y"] - before["y"]) < 1, row_shown  # a window scrolls by whole pixels
    assert page.locator(f"{row_shown}:hover").count() == 1, row_shown
