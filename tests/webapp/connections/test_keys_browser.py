"""The key's page in Chromium: axe-core finds nothing in either theme nor at 320 px, and what was pasted is nowhere afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.app_parts import People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.conftest import Clock
from tests.keeper_parts import PUBLIC_URL
from webapp.connections.tables import Connection
from webapp.people import cookies
from webapp.web.house import House

KEY = "sk-a-key-that-nobody-sees"
pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def page(app: Flask, house: House, signed_in: People) -> Iterator[Page]:
    house.door.provider_put("openai", {})
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = signed_in("ada").get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened)
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        yield made


def test_a_key_is_pasted_refused_pasted_again_and_grows_old(page: Page, house: House, clock: Clock) -> None:
    page.goto("/connections/new?provider=openai")
    looked_at(page, "key-new")
    page.get_by_label("The secret key").fill("not a key")
    page.get_by_label("A name you know it by").fill("Research")
    page.get_by_role("button", name="Keep the key").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("The secret key")).to_have_value("")
    expect(page.get_by_label("A name you know it by")).to_have_value("Research")
    looked_at(page, "key-refused")
    page.get_by_label("The secret key").fill(KEY)
    page.get_by_role("button", name="Keep the key").click()
    page.wait_for_url(re.compile("/connections/con_"))
    expect(page.get_by_text("OpenAI is connected.")).to_be_visible()
    assert KEY not in page.content()
    looked_at(page, "key-one")
    connection = page.url.rsplit("/", 1)[1]
    house.database.write(lambda s: setattr(s.get_one(Connection, connection), "connected_at", clock.now - timedelta(days=92)))
    page.goto("/")
    expect(page.get_by_text(re.compile(r"is 92 days old\. Rotate it"))).to_be_visible()
    looked_at(page, "key-start")
    page.goto("/connections")
    looked_at(page, "key-card")
    page.get_by_role("link", name="replace it here").click()
    looked_at(page, "key-replace")
    page.get_by_label("The secret key").fill(KEY + "2")
    page.get_by_role("button", name="Replace the key").click()
    page.wait_for_url(re.compile("/connections/con_"))
    expect(page.get_by_text("This key is from today")).to_be_visible()
    page.get_by_role("link", name="Disconnect…").click()
    looked_at(page, "key-disconnect")
