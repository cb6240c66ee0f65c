"""Pages in an invented language that is longer than English and read from right to left, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.app_parts import People
from tests.browser_parts import chromium, faults, open_page, out_of_order, served
from tests.keeper_parts import PUBLIC_URL
from tests.pseudo import mirrored
from tests.webapp.approvals.parts import Server, draft, held
from webapp.web.catalogue import ENGLISH
from webapp.web.house import House
from webapp.web.languages import Language, Languages

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
PICTURES = os.environ.get("SHOTS", "")


@pytest.fixture
def browser(app: Flask) -> Iterator[Browser]:
    app.extensions["languages"] = Languages([Language("en", ENGLISH), mirrored()])
    with served(app) as port, chromium(port) as opened:
        yield opened


def looked_at(page: Page, name: str, schemes: tuple[str, ...] = ("light", "dark")) -> None:
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert faults(page) == [], (page.url, scheme)
    page.emulate_media(color_scheme="light")
    for width in (1100, 360, 320):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (page.url, width)
        if PICTURES:
            page.screenshot(path=str(Path(PICTURES) / f"{name}-{width}.png"), full_page=True)


def test_the_sign_in_page_changes_its_language_by_keyboard_and_keeps_it(browser: Browser, signed_in: People) -> None:
    signed_in.meet()
    page = open_page(browser, locale="en-GB")
    page.goto("/sign-in?next=/you")
    assert page.locator("html").get_attribute("dir") == "ltr"
    page.get_by_role("button", name="עברית").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    assert page.url == f"{PUBLIC_URL}/sign-in?next=/you"
    looked_at(page, "sign-in")
    page.goto("/nowhere")
    expect(page.get_by_text("⟧Gö tö thë stärt pägë")).to_be_visible()
    looked_at(page, "nowhere")
    mark = page.locator(".mark").bounding_box()
    assert mark
    assert mark["x"] > 160, "what stands first stands at the right"


PAGES = (
    "/connections", "/you/agents", "/servers", "/clients", "/log?kind=nothing", "/actions", "/history", "/operate", "/secrets",
    "/insights", "/insights/replay", "/incidents", "/incidents/new", "/incidents/new?kind=person", "/incidents/ledger",
    "/you/incident?kind=person", "/you", "/you/security", "/you/recovery", "/you/notices", "/you/away", "/groups",
    "/groups/finance", "/groups/finance/notices", "/readmissions", "/approvals/quality", "/approvals/reports",
)


@pytest.mark.long
@pytest.mark.parametrize("tag", ["de", "fr"])
def test_longer_words_have_room_on_a_phone(app: Flask, signed_in: People, tag: str) -> None:
    """A page of each kind, in the languages that there are. Long: half a minute for each."""
    app.extensions["languages"] = Languages([Language("en", ENGLISH), Language(tag)])
    ada = signed_in("ada", groups=["user", "admin", "audit"])
    ada.send("/you/language", language=tag)
    cookie = ada.get_cookie("counterseal_session")
    assert cookie
    with served(app) as port, chromium(port) as opened:
        page = open_page(opened, locale="en-GB")
        page.context.add_cookies([{"name": "counterseal_session", "value": cookie.value, "url": PUBLIC_URL}])
        for path in PAGES:
            page.goto(path)
            expect(page.locator("html")).to_have_attribute("lang", tag)
            looked_at(page, f"{tag}-{path.strip('/').replace('/', '-').partition('?')[0]}", ("light",))


MIRRORED = (
    "/", "/actions", "/history", "/connections", "/insights", "/incidents", "/secrets", "/operate", "/you/notices",
    "/you/security",
)


def test_a_person_reads_their_pages_from_right_to_left(
    browser: Browser, app: Flask, house: House, signed_in: People
) -> None:
    """Nothing scrolls sideways, and the Tab key goes the way of the eye, from the right."""
    server = Server()
    app.extensions["approvals"] = server.handed
    ada = signed_in("ada", groups=["user", "admin", "audit", "finance"])
    own, others = held(house, draft(house, ada.person)), held(house, draft(house, "per_eve", grant="grt_2"))
    ada.send("/you/language", language="he")
    cookie = ada.get_cookie("counterseal_session")
    assert cookie
    page = open_page(browser, locale="en-GB")
    page.context.add_cookies([{"name": "counterseal_session", "value": cookie.value, "url": PUBLIC_URL}])
    page.goto("/you")
    expect(page.locator("html")).to_have_attribute("lang", "he")
    looked_at(page, "you")
    for path in (*MIRRORED, f"/actions/{own}", f"/actions/{others}"):
        page.goto(path)
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        looked_at(page, f"he-{path.strip('/').replace('/', '-')[:20]}", ("light",))
        assert out_of_order(page) == [], path
        page.set_viewport_size({"width": 1280, "height": 700})
        assert out_of_order(page) == [], path
    page.goto("/you")
    page.select_option("#language", "en")
    page.locator("form[action='/you/language'] button").click()
    expect(page.locator("html")).to_have_attribute("dir", "ltr")
    expect(page.get_by_text("Pages are now in your language.")).to_be_visible()
