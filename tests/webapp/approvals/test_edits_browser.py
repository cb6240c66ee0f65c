"""The pages of drift, limits and edits in Chromium: both themes, a phone, the keyboard."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import expect

from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, draft, forge, held, verdict
from webapp.approvals import facts_document
from webapp.approvals.outcome import Editor
from webapp.approvals.usage import Used
from webapp.canonical import parse
from webapp.people import cookies
from webapp.policy import active, facts
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
SCHEMA = {"type": "object", "required": ["amount", "iban"], "properties": {
    "amount": {"type": "string"}, "currency": {"type": "string", "enum": ["EUR", "USD"]}, "iban": {"type": "string"},
    "payee": {"type": "string"}, "urgent": {"type": "boolean"}, "lines": {"type": "array"},
}}


def editor(house: House) -> Editor:
    """As the gateway's, for the tool of these tests."""
    def judged(_session: Any, envelope: Any, arguments: Any, _now: Any) -> Any:
        raw = parse(json.dumps(arguments).encode())
        read = facts.read(envelope["facts"]["pointers"], raw, house.settings.policy, cls="money")
        made = replace(draft(house, envelope["principal"]["person"]), arguments=arguments, facts=facts_document(read, Used()))
        return verdict(), made

    return Editor(lambda _session, _envelope: SCHEMA, judged)


def test_an_edit_from_its_link_to_the_new_action_by_keyboard_and_what_drift_shows(
    app: Flask, house: House, someone: Enrol, server: Server
) -> None:
    active.at_start(house)
    app.extensions["approvals"] = replace(server.handed, editor=editor(house))
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    first = held(house, draft(house, ada.person))
    name = cookies.name(house.settings, cookies.SESSION)
    with served(app) as port, chromium(port) as opened:
        page = open_page(opened)
        cookie = bob.get_cookie(name)
        assert cookie is not None
        page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        page.goto(f"/actions/{first}")
        page.get_by_role("link", name="Propose changes").click()
        page.wait_for_url("**/edit")
        looked_at(page, "edit")
        page.get_by_label("Amount").fill("400.00")
        page.get_by_label("Why?").fill("The invoice says 400.")
        page.get_by_role("button", name="Propose this call instead").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: not url.endswith("/edit"))
        assert page.get_by_text("You changed what the agent asked for").is_visible()
        assert page.get_by_role("cell", name="400.00").count() >= 1
        assert page.get_by_role("button", name="Approve").count() == 0
        looked_at(page, "edited")
        page.goto(f"/actions/{first}")
        assert page.get_by_role("link", name="The changed call").is_visible()
        looked_at(page, "replaced")
        other = held(house, draft(house, ada.person, order={"amount": "12.00", "currency": "EUR", "iban": "DE0212"}))
        changed = {"what": "description", "before": "Pays a bill", "now": "Pays anything " * 20, "theirs": True}
        forge(house, other, state="void", reason="the server or the tool changed", ended_at=house.clock(), drift=[changed])
        page.goto(f"/actions/{other}")
        assert page.get_by_text("What changed while it waited").is_visible()
        looked_at(page, "drift")
        page.context.clear_cookies()
        mine = ada.get_cookie(name)
        assert mine is not None
        page.context.add_cookies([{"name": name, "value": mine.value, "url": PUBLIC_URL}])
        third = held(house, draft(house, ada.person, order={"amount": "60000.00", "currency": "EUR", "iban": "DE0215"}))
        page.goto(f"/actions/{third}")
        limits = page.get_by_label("Limits").get_by_role("listitem")
        expect(limits.filter(has_text="in the last 24 hours").first).to_contain_text("€60,412.00: policy refuses that.")
        looked_at(page, "caps")
