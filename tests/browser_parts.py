"""A real browser at the real app: Chromium through playwright, with a virtual authenticator that holds passkeys.

`public_url` names port 8000; the app listens on a free one, and the browser is told where that name leads. An instance that
knows its own port needs none of that: `chromium()` and `open_page(browser, base_url=…)`.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from tests import camera
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PATIENCE = 60_000
"""Milliseconds, for everything that a page waits for: far beyond what it takes, also on a machine that does other things too."""
NARROW, HALF, WIDE = 320, 640, 1280
"""Widths that a page has to do with; HALF is what WIDE is at 200 %."""
SHOTS = os.environ.get("SHOTS", "")
"""A folder for pictures of each state that is looked at (`tests.camera`); `python -m tests.real.pictures` names docs' one."""
AXE = Path(__file__).resolve().parent / "node_modules" / "axe-core" / "axe.min.js"
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

expect.set_options(timeout=PATIENCE)


class Quiet(WSGIRequestHandler):
    def log(self, *_args: Any) -> None:
        return

    def make_environ(self) -> WSGIEnvironment:
        """A file is read at once: where a browser resets the connection, the server would leave it open. As from gunicorn, a
        stream can see that its browser has left: else the pages that a test went through keep the person's seats."""
        return {**super().make_environ(), "wsgi.file_wrapper": read_whole, "gunicorn.socket": self.connection}


def read_whole(file: IO[bytes], _size: int = 0) -> list[bytes]:
    with file:
        return [file.read()]


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """The app on a free port of loopback, in threads of this process. Its clock runs, as the browser's does."""
    clock = getattr(app.extensions.get("counterseal"), "clock", None)
    if isinstance(clock, Clock):
        clock.run()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def chromium(port: int | None = None) -> Iterator[Browser]:
    """A browser to which `public_url` is the app at `port`, if one is given."""
    rules = [f"--host-resolver-rules=MAP {urlsplit(PUBLIC_URL).netloc} 127.0.0.1:{port}"] if port else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", *rules]
        )
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, **options: Any) -> Page:
    """A page of a fresh profile, with an authenticator of its own."""
    # Colours that are on their way from one theme to the other have no contrast that anybody meant.
    context: BrowserContext = browser.new_context(**{"base_url": PUBLIC_URL, "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    if options.get("java_script_enabled", True):
        devices = context.new_cdp_session(page)
        devices.send("WebAuthn.enable")
        devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return page


def go(page: Page, url: str) -> None:
    """`page.goto`, from a page that may load itself again at this very moment: a live page does when its action moves on, and the
    browser carries out only one of both. Where it waits for an answer, what comes meanwhile is interrupted by it again."""
    for _ in range(40):
        try:
            page.goto(url)
            return
        except Error as error:
            if "interrupted by another navigation" not in error.message and "net::ERR_ABORTED" not in error.message:
                raise
            page.wait_for_timeout(250)
            page.wait_for_load_state()
    page.goto(url)


def look_through(page: Page) -> None:
    """Have all that decides in view, as somebody who reads it has: the button to approve sleeps until then. A live page may load
    itself again meanwhile; then it is looked at again."""
    for _ in range(5):
        try:
            for part in page.locator("[data-decisive]").all():
                part.scroll_into_view_if_needed()
            break
        except Error:
            page.wait_for_load_state()


def faults(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is shown now. Evaluated from outside, so the page's CSP stays on.
    The size of targets (WCAG 2.5.8, AA since 2.2) is the one rule of AA that axe-core leaves out by itself."""
    page.wait_for_load_state()
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}})")
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}" for one in found["violations"] for node in one["nodes"]
    ]


LARGEST = """() => {
  const size = (one) => parseFloat(getComputedStyle(one).fontSize), decisive = '.facts .amount, .facts .who';
  const least = Math.min(...[...document.querySelectorAll(decisive)].map(size));
  const written = (one) => [...one.childNodes].some((part) => part.nodeType === 3 && part.data.trim());
  return [...document.querySelectorAll('body *')].filter((one) => written(one) && one.checkVisibility() && !one.closest(decisive)
    && size(one) >= least).map((one) => `as large as what decides: ${one.outerHTML.slice(0, 90)}`); }"""
BEYOND = """() => {
  const edge = document.documentElement.clientWidth, page = document.documentElement.scrollWidth;
  const over = [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility()
    && (one.getBoundingClientRect().right > edge + 1 || one.getBoundingClientRect().left < -1));
  return page > edge ? [`${page} px wide`, ...over.slice(-3).map((one) => one.outerHTML.slice(0, 200))] : []; }"""
"""What goes beyond the window's edge, where the page scrolls sideways for it."""


def looked_at(page: Page, name: str) -> None:
    """Everybody can use the page as it is shown now: axe-core finds nothing, in the light theme as wide as it is and in the dark
    one on a small phone; nothing scrolls sideways on that phone, nor in a wide window at 200 %; nothing on an action is as large
    as how much and to whom. Where SHOTS names a folder, it gets pictures. The window is then as it was."""
    size = page.viewport_size
    assert size is not None
    for scheme, width in (("light", size["width"]), ("light", HALF), ("dark", NARROW)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": size["height"]})
        if width != HALF:
            found = faults(page)
            assert not found, (name, scheme, width, found)
        beyond = page.evaluate(BEYOND) + outdone(page)
        assert not beyond, (name, width, beyond)
    if SHOTS:
        camera.shoot(page, Path(SHOTS), camera.name_here(name))
    page.set_viewport_size(size)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")


STOP = """() => { const on = document.activeElement;
  if (on === document.body || on === document.documentElement) return null;
  const box = on.getClientRects()[0] ?? on.getBoundingClientRect(), drawn = getComputedStyle(on);
  const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return { name: (on.ariaLabel || on.textContent || on.name || on.id || '').trim().slice(0, 80),
    inside: Boolean(on.closest('main')), outlined: drawn.outlineStyle !== 'none' && parseFloat(drawn.outlineWidth) > 0,
    seen: Boolean(at) && (on.contains(at) || [...(on.labels ?? [])].some((label) => label.contains(at))) }; }"""


def stops(page: Page, most: int = 150) -> list[dict[str, Any]]:
    """Each stop of the Tab key from the top of the page to where it leaves the page: `outlined` when its outline is drawn, `seen`
    when nothing lies over its middle (WCAG 2.4.7, 2.4.11). Fails where no end comes (2.1.2)."""
    page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    page.locator("a.skip").focus()
    found = [page.evaluate(STOP)]
    while len(found) < most:
        page.keyboard.press("Tab")
        if (stop := page.evaluate(STOP)) is None or stop == found[0]:
            return found
        found.append(stop)
    raise AssertionError(f"the Tab key does not come to an end: {found[-3:]}")


OUT_OF_ORDER = """(wide) => {
  const over = '.stick.deciding, .fresh, .part.decide';  // what may lie over the page's lower end
  const apart = (one) => one.closest(wide ? '.two > *, .fresh' : over);
  const after = document.documentElement.dir === 'rtl' ? (a, b) => b.right <= a.left : (a, b) => b.left >= a.right;
  const all = [...document.querySelectorAll('main :is(a[href], button, input:not([type=hidden]), select, textarea, summary)')]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.getClientRects().length
      && !one.closest('.visually-hidden'));
  return all.slice(1).flatMap((two, at) => {
    const one = all[at], a = one.getClientRects()[0], b = two.getClientRects()[0];
    const line = one.parentElement === two.parentElement
      && [one, two].every((each) => getComputedStyle(each).display === 'inline');
    if (line || apart(one) !== apart(two)) return [];  // words of one line stand as its script goes
    const above = b.bottom <= a.top + 1 && !after(a, b), before = b.bottom > a.top + 1 && a.bottom > b.top + 1 && after(b, a);
    return above || before ? [`${two.outerHTML.slice(0, 80)} is shown before ${one.outerHTML.slice(0, 80)}`] : [];
  });
}"""


def out_of_order(page: Page) -> list[str]:
    """What the Tab key and a screen reader come to later than the eye does: above what they come to before it, or beside it where
    a line begins. Two columns are each read by themselves."""
    width = (page.viewport_size or {"width": 1280})["width"]
    found: list[str] = page.evaluate(OUT_OF_ORDER, width > 736)
    return found


def outdone(page: Page) -> list[str]:
    """How much and to whom are the largest things on an action: what is written as large as they are."""
    found: list[str] = page.evaluate(LARGEST)
    return found
