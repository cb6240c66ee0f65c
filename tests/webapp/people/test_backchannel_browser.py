"""Signed out at the identity provider, in Chromium: a real provider tells the app, and the page that stayed open leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from playwright.sync_api import expect

from tests.browser_parts import chromium, go, open_page, served
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.oidc_provider import serve
from tests.webapp.people.test_recovery_browser import new_passkey, sign_in
from webapp.people.backchannel import LOGOUT
from webapp.people.sign_in import CALLBACK
from webapp.web import live

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The true one, as the provider's and the browser's are."""
    return lambda: datetime.now(UTC)


def test_who_signs_out_at_the_provider_is_led_away_from_the_page_that_is_open(
    app: Flask, keeper: KeeperParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It posts its logout token to our own route. The session that it names ends; the same person’s on another device stays."""
    monkeypatch.setattr(live, "PING", 2.0)  # how long a page that is open may know nothing of it
    people = {"alice": {"groups": ["finance"], "name": "Alice Osei"}}
    with served(app) as port, chromium(port) as browser, serve(
        [PUBLIC_URL + CALLBACK], people=people, backchannel=PUBLIC_URL + LOGOUT, at=port
    ) as provider:
        keeper.door.idp_put("main", provider.record(groups_claim="groups"))
        page, device = open_page(browser), open_page(browser)
        sign_in(page)
        new_passkey(page)
        sign_in(device)
        page.goto("/actions")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        there = page.context.new_page()
        there.goto(f"{provider.issuer}/session/end")
        there.get_by_role("button", name=re.compile("^Yes")).click()
        page.wait_for_url(re.compile("/sign-in"))
        go(page, "/you")
        page.wait_for_url(re.compile("/sign-in"))
        go(device, "/you")
        assert "/sign-in/second" in device.url
