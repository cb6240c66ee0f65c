"""The app can be installed: what Chromium itself says of it; and nothing of a page is ever kept in the browser."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import sync_playwright

from tests.app_parts import People
from tests.browser_parts import PATIENCE, served
from tests.keeper_parts import PUBLIC_URL
from webapp.people import cookies
from webapp.web.house import House

STATIC = Path(__file__).resolve().parents[3] / "static"
KEPT = ["/offline", "/static/app.css", "/static/seal.svg"]
LOOK = (
    "async () => { const found = []; for (const name of await caches.keys())"
    " for (const kept of await (await caches.open(name)).keys()) found.push(new URL(kept.url).pathname);"
    " return found.sort(); }"
)


@pytest.mark.real
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_chromium_would_install_it_and_keeps_no_page_of_it(
    app: Flask, house: House, signed_in: People, tmp_path: Path
) -> None:
    """In a profile of its own: nothing is installed from a private window."""
    bob = signed_in("bob")
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = bob.get_cookie(name)
    assert cookie is not None
    with served(app) as port, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=shutil.which("chromium"), base_url=PUBLIC_URL, args=[
                "--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {urlsplit(PUBLIC_URL).netloc} 127.0.0.1:{port}",
            ],
        )
        try:
            context.set_default_timeout(PATIENCE)
            context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
            page = context.new_page()
            page.route("**/actions/count", lambda route: route.abort())
            page.goto("/you/notices")
            page.wait_for_function("() => navigator.serviceWorker.controller !== null")
            devices = context.new_cdp_session(page)
            found = devices.send("Page.getAppManifest")
            assert (found["errors"], urlsplit(found["url"]).path) == ([], "/manifest.webmanifest")
            assert devices.send("Page.getInstallabilityErrors")["installabilityErrors"] == []
            for path in ("/", "/actions", "/history", "/you", "/connections"):
                page.goto(path)
            assert page.evaluate(LOOK) == KEPT
        finally:
            context.close()


def test_each_icon_is_there_and_as_large_as_the_manifest_says() -> None:
    icons = json.loads((STATIC / "app.webmanifest").read_text())["icons"]
    assert {one["purpose"] for one in icons} == {"any", "maskable"}
    for one in icons:
        path = STATIC / one["src"].removeprefix("/static/")
        if path.suffix == ".png":
            assert "x".join(str(side) for side in struct.unpack(">II", path.read_bytes()[16:24])) == one["sizes"]
        else:
            assert b"<script" not in path.read_bytes()
