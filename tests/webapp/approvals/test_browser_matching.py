"""Number matching in Chromium: the number is asked for, a wrong one is said in words, and the right one confirms."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect

from tests.browser_parts import chromium, look_through, served
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, action, draft, held
from tests.webapp.approvals.test_browser_absence import looked_at, signed
from tests.webapp.approvals.test_matching import MATCH, number, wrong
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def chrome(app: Flask, server: Server) -> Iterator[Browser]:
    with served(app) as port, chromium(port) as opened:
        yield opened


def test_who_confirms_types_the_number_that_their_agent_shows(chrome: Browser, house: House, someone: Enrol) -> None:
    ada = someone("ada")[0]
    held_id = held(house, draft(house, ada.person), [MATCH])
    page = signed(chrome, house, ada)
    page.goto(f"/actions/{held_id}")
    looked_at(page, "number")
    field, button = page.get_by_label("Type the two digits"), page.get_by_role("button", name=re.compile("^Confirm"))
    field.fill(wrong(house, held_id))
    look_through(page)
    button.click()
    expect(page.get_by_text("You have 2 tries left")).to_be_visible()
    expect(field).to_have_value("")
    assert action(house, held_id).state == "held"
    looked_at(page, "number-wrong")
    field.fill(number(house, held_id))
    look_through(page)
    button.click()
    expect(page.get_by_text("It runs when the agent comes back")).to_be_visible()
    assert action(house, held_id).state == "approved"
