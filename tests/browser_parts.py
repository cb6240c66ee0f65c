"""A real browser at the real app: Chromium through playwright, with a virtual authenticator that holds passkeys.

`public_url` names port 8000; the app listens on a free one, and the browser is told where that name leads. An instance that
knows its own port needs none of that: `chromium()` and `open_page(browser, base_url=…)`.
"""

from __future__ import annotations

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

from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PATIENCE = 60_000
"""Milliseconds, for everything that a page waits for: far beyond what it takes, also on a machine that does other things too."""
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
        """A file is read at once: where a browser resets the connection, the server would leave it open."""
        return {**super().make_environ(), "wsgi.file_wrapper": read_whole}


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
    """What axe-core finds wrong with the page as it is shown now. Evaluated from outside, so the page's CSP stays on."""
    page.wait_for_load_state()
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}" for one in found["violations"] for node in one["nodes"]
    ]
