"""The consent page in Chromium: its form leads where the answer goes, whatever kind of address that is, and axe finds nothing."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from tests.browser_parts import faults
from tests.webapp.oauth.conftest import ALICE, VERIFIER, challenge_of

pytestmark = pytest.mark.real


class Callback(BaseHTTPRequestHandler):
    """An agent's address on this computer, on whatever port its system gave it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the agent has its answer")

    def log_message(self, *_args: Any) -> None:
        return


class OverIpv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture(params=["localhost", "127.0.0.1", "[::1]"])
def callback(request: pytest.FixtureRequest) -> Iterator[str]:
    host: str = request.param
    server = OverIpv6(("::1", 0), Callback) if host == "[::1]" else ThreadingHTTPServer(("127.0.0.1", 0), Callback)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://{host}:{server.server_port}/callback"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_context(extra_http_headers={"X-Test-Person": ALICE.person}, reduced_motion="reduce").new_page()
        browser.close()


def asks(address: str, redirect_uri: str, **changed: str) -> str:
    metadata = {"client_name": "Ledger Desk", "redirect_uris": [redirect_uri]}
    client = requests.post(f"{address}/oauth/register", json=metadata, timeout=60)
    assert client.status_code == 201, client.text
    return f"{address}/oauth/authorize?" + urlencode({
        "response_type": "code", "client_id": client.json()["client_id"], "redirect_uri": redirect_uri, "state": "s",
        "resource": f"{address}/mcp/bank", "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256", **changed,
    })


@pytest.mark.parametrize(("button", "answer"), [("Allow", "code=csc_"), ("Cancel", "error=access_denied")])
def test_the_browser_follows_the_form_to_the_agent(address: str, callback: str, page: Page, button: str, answer: str) -> None:
    page.goto(asks(address, callback))
    page.get_by_role("button", name=button).click()
    page.get_by_text("the agent has its answer").wait_for()
    assert page.url.startswith(f"{callback}?{answer}")


@pytest.mark.parametrize("what", ["asked", "refused", "list"])
def test_axe_finds_nothing_and_a_small_phone_shows_it_all(address: str, page: Page, what: str) -> None:
    where = {
        "asked": asks(address, "https://app.example/cb"), "refused": asks(address, "https://app.example/cb", resource="x"),
        "list": f"{address}/you/agents",
    }[what]
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto(where)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
