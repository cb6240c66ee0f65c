"""Every page, in every state that the walk brings about: everyone can read it and use it, and nothing on it goes wrong unseen."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect
from werkzeug.exceptions import HTTPException

from tests.browser_parts import HALF, NARROW, WIDE, chromium, faults, go, open_page, out_of_order, outdone, stops
from tests.camera import names
from tests.real.pictures import DOCS, PAGES
from tests.real.steps import PATIENCE, SMALL
from tests.real.walk import Walk
from tests.up_parts import ROOT, Up, start
from vault.door import Door
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db import Database
from webapp.web.house import House

pytestmark = pytest.mark.real
REFUSALS = re.compile(r"Failed to load resource: the server responded with a status of (400|403|404|503)")
"""The browser's own note on a page that is an error page, and meant to be one."""
ELSEWHERE = {
    "/actions/<action_id>/alone": "tests/webapp/approvals/test_browser_absence.py",
    "/you/security/<entry>/not-me": "tests/webapp/people/test_readmission_browser.py",
    "/sign-in/recovery": "tests/webapp/people/test_recovery_browser.py",
    "/readmissions/<which>": "tests/webapp/people/test_readmission_browser.py",
    "/insights/replay/<trial_id>": "tests/webapp/insights/test_browser.py",
    "/sign-in/second": "tests/webapp/people/test_browser.py",
    "/connections/keys/new": "tests/webapp/connections/test_keys_browser.py",
    "/connections/keys/<connection>": "tests/webapp/connections/test_keys_browser.py",
    "/connections/consents/new": "tests/webapp/exchange/test_page.py",
    "/offline": "tests/webapp/notices/test_browser.py",
}
"""Pages that an evaluation instance does not come to, and the test that looks at each in the same way."""
NO_PAGES = {
    "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp/<name>", "/healthz", "/mcp/<server>",
    "/openapi.json", "/static/<path:filename>", "/sign-in/callback", "/connections/callback", "/connections/callback/<provider>",
    "/start", "/actions/<action_id>/now", "/actions/count", "/actions/rows", "/connections/now", "/connections/<connection>/now",
    "/actions/<action_id>/receipt", "/actions/export.csv", "/actions/export.json", "/connections/uses.<kind>",
    "/connections/<connection>/uses.<kind>", "/actions/sign-in-again/back", "/insights/<table>.csv",
    "/insights/replay/<trial_id>/now", "/manifest.webmanifest", "/service-worker.js", "/you/notices/push-key",
}
"""Parts that live, files and answers to programs."""
CLICKED = ("action-rejecting",)
"""Stops where the walk itself has just opened something on the page."""
FACTS = """() => ({
  wide: document.documentElement.scrollWidth, inline: document.querySelectorAll('[style], style').length,
  focused: document.activeElement === document.body || document.activeElement.autofocus ? '' : document.activeElement.outerHTML,
  moving: document.getAnimations().length, titles: document.querySelectorAll('h1').length, title: document.title,
})"""
ZOOMED = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync('html { font-size: 200% }');
  document.adoptedStyleSheets = [sheet];
  const cut = [...document.querySelectorAll('body *')].filter((one) => {
    const drawn = getComputedStyle(one);
    return one.textContent.trim() && drawn.overflowX === 'hidden' && drawn.clipPath === 'none' && one.checkVisibility()
      && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1); });
  const found = { wide: document.documentElement.scrollWidth, cut: cut.map((one) => one.outerHTML.slice(0, 90)).join(' ') };
  document.adoptedStyleSheets = [];
  return found; }"""
"""Text at 200 %, in a window that stays as wide as it is (WCAG 1.4.4)."""


BY_KEYBOARD = ("/", "/actions?tab=mine", "/history", "/connections", "/insights", "/you", "/you/notices", "/you/security")


@contextmanager
def instance(folder: Path) -> Iterator[Up]:
    running = start(folder / "i")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Shared; each test here enters as a person of its own."""
    with instance(tmp_path_factory.mktemp("pages")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Inspector:
    """Looks at each page as several people would, and writes down what is wrong."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.stop = ""
        self.paths: set[str] = set()
        self.names: set[str] = set()

    def watch(self, page: Page) -> None:
        """The console also tells what the content security policy stopped."""
        page.emulate_media(reduced_motion="reduce")
        page.on("console", lambda said: self.note(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.note(str(error)))

    def note(self, what: str) -> None:
        if not REFUSALS.match(what):
            self.wrong.append(f"after {self.stop}: {what}")

    def look(self, page: Page, name: str) -> None:
        page.wait_for_load_state()
        self.stop = name
        self.names.add(name)
        self.paths.add(urlsplit(page.url).path)
        found, zoomed = self.measured(page)
        for true, what in (
            (found["wide"] <= NARROW, f"scrolls sideways at {NARROW} px: {found['wide']}"),
            (not found["inline"], "has inline styles"),
            (not name.startswith("action") or name in CLICKED or not found["focused"], f"focuses: {found['focused'][:90]}"),
            (not found["moving"], "moves although less motion is asked for"),
            (found["titles"] == 1, f"has {found['titles']} headings of the first level"), (found["title"], "has no title"),
            (zoomed["wide"] <= WIDE, f"scrolls sideways at {WIDE} px with text at 200 %: {zoomed['wide']}"),
            (not zoomed["cut"], f"cuts text off at 200 %: {zoomed['cut']}"),
        ):
            if not true:
                self.wrong.append(f"{name} {what}")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            self.wrong += [f"{name} in {scheme}: {fault}" for fault in faults(page)]

    def measured(self, page: Page) -> tuple[dict[str, Any], dict[str, Any]]:
        """As it is in narrow windows (HALF is a wide one at 200 %), and with text at 200 %. The window is then as it was."""
        before = page.viewport_size
        page.set_viewport_size({"width": HALF, "height": 400})
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > HALF:
            self.wrong.append(f"{self.stop} scrolls sideways at {HALF} px: {wide}")
        page.set_viewport_size({"width": NARROW, "height": 640})
        found, orders = page.evaluate(FACTS), out_of_order(page) + outdone(page)
        page.set_viewport_size({"width": WIDE, "height": 720})
        orders += out_of_order(page) + outdone(page)
        zoomed = page.evaluate(ZOOMED)
        if before:
            page.set_viewport_size(before)
        self.wrong += [f"{self.stop}: {what}" for what in dict.fromkeys(orders)]
        return found, zoomed


def test_everyone_can_use_every_page(tmp_path: Path, browser: Browser) -> None:
    """axe-core finds nothing in either theme; nothing scrolls sideways at 320 px, nor at 200 %, where no text is cut off; the
    order of the Tab key is that of the eye, narrow and wide; no inline style; no script fails; the content
    security policy stops nothing; a page about an action focuses nothing."""
    inspector = Inspector()
    with instance(tmp_path) as up:
        Walk(up, browser, inspector.look, inspector.watch).all()
    assert inspector.wrong == [], "\n".join(inspector.wrong)
    every, seen = routes(tmp_path / "routes", inspector.paths)
    assert every - seen - set(ELSEWHERE) - NO_PAGES == set(), "a page that nobody looks at: add a stop to the walk"
    assert inspector.names == names(DOCS / PAGES), "docs/pages.md shows other ones: python -m tests.real.pictures"
    assert {rule for rule, test in ELSEWHERE.items() if rule in seen or "looked_at(" not in (ROOT / test).read_text()} == set()


def routes(folder: Path, paths: set[str]) -> tuple[set[str], set[str]]:
    """Of the app's rules those that a person gets something from, and those to which the paths belong."""
    database = Database(f"sqlite:///{folder}.sqlite")
    try:
        rules = create_app(House(Settings(instance=folder, database_url=database.url), database, Door(folder / "none"))).url_map
    finally:
        database.close()
    every = {rule.rule for rule in rules.iter_rules() if "GET" in (rule.methods or ())}
    at, seen = rules.bind("localhost"), set()
    for path in paths:
        with suppress(HTTPException):
            seen.add(at.match(path, return_rule=True)[0].rule)
    return every, seen



def test_an_action_by_keyboard_alone(up: Up, browser: Browser) -> None:
    """From the queue by its keys; every stop is seen, the first skips to the content, and Enter on a fresh page does nothing."""
    walk = Walk(up, browser, lambda *_: None)
    mira = ready(walk, "Mira")
    walk.hold(mira, SMALL)
    held = mira.url
    go(mira, "/actions")
    mira.keyboard.press("j")
    mira.keyboard.press("o")
    mira.wait_for_url(held)
    mira.keyboard.press("Enter")
    mira.keyboard.press("Tab")
    skip = mira.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    mira.keyboard.press("Enter")
    mira.keyboard.press("Enter")
    expect(mira.locator("[data-state=held]")).to_be_attached()
    _unobscured(mira)
    inside = [stop for stop in stops(mira) if stop["inside"]]
    assert all(stop["outlined"] for stop in inside), inside
    names = [stop["name"] for stop in inside]
    assert names.index("Exactly what will be sent") < next(i for i, name in enumerate(names) if name.startswith("Confirm"))
    assert any(name.startswith("Reject") for name in names)
    confirm = mira.get_by_role("button", name=re.compile("^Confirm"))
    confirm.focus()
    while (mira.locator("#asleep").text_content() or "").startswith("Look at"):
        mira.keyboard.press("Space")  # leads to what was not in view yet
    expect(confirm).to_be_enabled()
    confirm.focus()
    mira.keyboard.press("Enter")
    expect(mira.get_by_text("Enter does not confirm")).to_be_visible()
    mira.keyboard.press("Space")
    mira.locator("[data-state=done]").wait_for()
    for path in BY_KEYBOARD:
        go(mira, path)
        passed = stops(mira)
        assert len(passed) > 5, path
        assert [stop for stop in passed if not (stop["outlined"] and stop["seen"])] == [], path


def _unobscured(page: Page) -> None:
    """What has the focus is not under the buttons that lie over a small window's lower end, nor is any part of them out of reach:
    with what is opened by "Reject…" too."""
    size = page.viewport_size
    assert size
    for small in (ViewportSize(width=640, height=400), ViewportSize(width=360, height=640), ViewportSize(width=1280, height=400)):
        page.set_viewport_size(small)
        for opened in (False, True):
            page.locator(".no-details").evaluate("(part, opened) => { part.open = opened; }", opened)
            assert [stop for stop in stops(page) if not stop["seen"]] == [], (small, opened)
    page.locator(".no-details").evaluate("(part) => { part.open = false; }")
    page.set_viewport_size(size)


def test_the_whole_way_to_a_decision_without_javascript(up: Up, browser: Browser) -> None:
    """From the sign-in link to a confirmed payment, with an authenticator app, whose seed is read from the page."""
    page = open_page(browser, base_url=up.url, java_script_enabled=False)
    page.set_default_timeout(PATIENCE)
    go(page, "/evaluation/enter")
    page.get_by_label("The sign-in link").fill(up.link())
    page.get_by_role("button", name="Open").click()
    page.get_by_role("button", name="Jonas").click()
    page.get_by_role("link", name="Set up an app").click()
    code = pyotp.TOTP(re.sub(r"\s", "", page.locator("#key").text_content() or ""))
    page.get_by_label("The six digits").fill(code.now())
    page.get_by_role("button", name="Add this app").click()
    connect(page)
    go(page, held_without_script(page))
    url = page.url
    page.get_by_label("The six digits").fill(code.at(int(time.time()) + 30))  # each counts once, and the next one is good already
    page.get_by_role("button", name=re.compile("^Confirm")).click()
    until_it_says(page, url, "Done")


def ready(walk: Walk, name: str) -> Page:
    """A person with a passkey, the bank and an agent."""
    page = walk.enter(name)
    connect(page)
    walk.try_to(page, "Check the balance")
    page.get_by_role("link", name="Continue: let the agent connect").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("#agent")).to_contain_text("42,", timeout=PATIENCE)
    return page


def connect(page: Page) -> None:
    go(page, "/connections/new?provider=harbour")
    page.get_by_role("button", name="Continue to Harbour Bank").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_url(re.compile("/connections"))


def held_without_script(page: Page) -> str:
    """Let the agent connect and ask; what the card shows by itself elsewhere is loaded again here."""
    go(page, "/")
    page.get_by_role("button", name=SMALL).click()
    proceed, see = "Continue: let the agent connect", "See what it wants to do"
    end = time.monotonic() + PATIENCE / 1000
    while not page.get_by_role("link", name=see).count():
        assert time.monotonic() < end, page.inner_text("main")
        if page.get_by_role("link", name=proceed).count():
            page.get_by_role("link", name=proceed).click()
            page.get_by_role("button", name="Allow", exact=True).click()
            page.wait_for_url(re.compile(r"localhost:\d+/(?!oauth)"))
        time.sleep(0.5)
        go(page, "/")
    return str(page.get_by_role("link", name=see).get_attribute("href"))


def until_it_says(page: Page, url: str, words: str) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not page.locator("#now").get_by_text(words, exact=True).count():
        assert time.monotonic() < end, page.inner_text("main")
        time.sleep(0.5)
        go(page, url)
