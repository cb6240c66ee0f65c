"""What people see of a token that waits for them: first what it can do, then what the server says; on paper and in Chromium."""

from __future__ import annotations

import pytest
from flask import Flask
from playwright.sync_api import expect

from tests.app_parts import People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.token_parts import permit
from tests.webapp.exchange.conftest import SCOPES, Scene
from webapp.people import cookies

CALL = '[{"type":"tool_call","tool":"create_note","arguments":{"title":"<b>Hello</b>","amount":"480.00","currency":"EUR"}}]'

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def reporting(scene: Scene) -> Scene:
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "harbour", SCOPES, ("create_note",)))
    return scene


def test_the_page_leads_with_what_the_token_can_do_and_labels_the_rest(reporting: Scene) -> None:
    _request, action_id = reporting.held(authorization_details=CALL)
    page = reporting.ada.get(f"/actions/{action_id}").text
    ours, theirs = page.index("Write notes"), page.index("Reported by the server")
    assert ours < page.index("5 minutes at most") < theirs < page.index("create_note")
    assert "&lt;b&gt;Hello" in page
    assert "Confirm this access" in page
    assert "Confirm €480.00" not in page
    assert "Nobody is named as its owner." in page
    assert "Nobody here can see that it does only what it says below" in page
    queue = reporting.ada.get("/actions").text
    assert "Reported by the server" in queue
    assert "Get a token: Write notes" in queue


def test_a_server_that_says_nothing_is_shown_to_say_nothing(scene: Scene) -> None:
    _request, action_id = scene.held()
    assert "It does not say what it will do with the token" in scene.ada.get(f"/actions/{action_id}").text


def test_after_it_the_page_says_that_the_token_was_handed_over_and_the_account_that_it_was_used(scene: Scene) -> None:
    request, action_id = scene.approved()
    assert scene.desk.poll(request).status_code == 200
    assert "The server got the token" in scene.ada.get(f"/actions/{action_id}").text
    assert "handed out" in scene.ada.get(f"/connections/{scene.account}").text.lower()


def test_a_stranger_sees_no_such_action(scene: Scene, signed_in: People) -> None:
    _request, action_id = scene.held()
    assert signed_in("eve").get(f"/actions/{action_id}").status_code == 404


@pytest.mark.real
def test_the_pages_pass_axe_and_fit_a_small_phone(reporting: Scene, app: Flask) -> None:
    """`SHOTS` names a folder for pictures."""
    _request, action_id = reporting.held(authorization_details=CALL)
    name = cookies.name(reporting.house.settings, cookies.SESSION)
    cookie = reporting.ada.get_cookie(name)
    assert cookie is not None
    form = f"/connections/consents/new?client={reporting.desk.id}"
    pages = {
        "action": f"/actions/{action_id}", "consent": form, "own": f"{form}&kind=service", "consents": "/connections/consents",
    }
    with served(app) as port, chromium(port) as opened:
        page = open_page(opened)
        page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        for shot, path in pages.items():
            page.set_viewport_size({"width": 1200, "height": 900})
            page.goto(f"{PUBLIC_URL}{path}")
            looked_at(page, shot)
        reporting.house.database.write(lambda s: permit(s, reporting.desk.id, "harbour", (*SCOPES, "admin"), ("create_note",)))
        page.goto(pages["action"])
        drifted = page.get_by_role("table", name="Nothing ran.").get_by_role("row")
        expect(drifted.filter(has_text="Registration")).to_be_visible()
        looked_at(page, "action-void")
