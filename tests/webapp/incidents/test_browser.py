"""The pages of incidents in Chromium: axe-core finds nothing, in both themes and on a small phone.

Long: a dozen pages in two themes take axe-core over 20 s."""

from __future__ import annotations

import pytest
from flask import Flask
from playwright.sync_api import Page

from tests.app_parts import Browser
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.scripted_provider import Scripted
from tests.webapp.incidents.conftest import Scene
from tests.webapp.registry.parts import put
from webapp.people import cookies
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


def as_(page: Page, house: House, who: Browser) -> None:
    """This page's browser is signed in as somebody."""
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = who.get_cookie(name)
    assert cookie is not None
    page.context.clear_cookies()
    page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])


def test_nothing_is_wrong_with_the_pages(scene: Scene, app: Flask, provider: Scripted) -> None:
    house = scene.house
    house.database.write(lambda s: put(s, now=house.clock(), provider="harbour"))
    with served(app) as port, chromium(port) as opened:
        page = open_page(opened)
        as_(page, house, scene.ruth)
        looks = {
            "list-empty": "/incidents", "kinds": "/incidents/new", "choose": "/incidents/new?kind=person",
            "confirm": f"/incidents/new?kind=person&name={scene.ada.person}",
        }
        for name, path in looks.items():
            page.goto(path)
            looked_at(page, name)
        page.fill("#reason", "A laptop was stolen on a train.")
        page.click("button.danger")
        page.wait_for_url("**/incidents/inc_*")
        looked_at(page, "report")
        for name, path in {"list": "/incidents", "ledger": "/incidents/ledger"}.items():
            page.goto(path)
            looked_at(page, name)
        incident = scene.open("client", scene.desk.id)
        page.goto(f"/incidents/{incident}")
        page.get_by_role("button", name="Resume it").click()
        page.wait_for_selector("text=Resumed")


def test_the_one_concerned_sees_a_notice_and_an_account_that_is_suspended(scene: Scene, app: Flask) -> None:
    scene.open("connection", scene.account, reason="Its password was in a leak.")
    with served(app) as port, chromium(port) as opened:
        page = open_page(opened)
        as_(page, scene.house, scene.ada)
        for name, path in {"start": "/", "accounts": "/connections", "account": f"/connections/{scene.account}"}.items():
            page.goto(path)
            looked_at(page, f"concerned-{name}")
        page.goto("/you/incident?kind=person")
        looked_at(page, "own")
        page.fill("#reason", "That was not me.")
        page.click("button.danger")
        page.wait_for_selector("text=Everything in your name is stopped")
        looked_at(page, "stopped")
