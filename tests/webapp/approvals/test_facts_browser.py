"""The action's page in Chromium: what is signed, what is context, what an agent wrote, and what changed while it was open."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tests.app_parts import Browser as Client
from tests.browser_parts import chromium, look_through, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, ORDER, TWO, Server, action, decide, draft, held
from vault.evidence import Account
from webapp.approvals import execution, usage
from webapp.approvals.receipt_check import verify
from webapp.audit.keys import VerifierKey
from webapp.people import cookies
from webapp.people.tables import Person
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
NAMED = {"amount": {"pointer": "/amount", "unit": "major"}, "currency": {"pointer": "/currency"},
         "recipient": {"pointer": "/payee", "kind": "text"}}
HELSINKI, WEST = "Europe/Helsinki", "America/Los_Angeles"


@pytest.fixture
def page(app: Flask, house: House, someone: Enrol, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A Danish browser (English pages, Danish numbers) in which Ada is signed in, with a passkey of its own.
    She paid Nordlicht three times."""
    monkeypatch.setattr("tests.webapp.approvals.parts.POINTERS", NAMED)
    ada, key = someone("ada")
    for number, amount in enumerate(("400.00", "480.00", "500.00")):
        done = held(house, order(house, ada.person, amount=amount, reference=f"RE-{number}"), CONFIRM)
        assert decide(ada, key, done).status_code == 303
        assert execution.run(house, done, server, server.recheck).state == "done"
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = ada.get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as opened:
        made = open_page(opened, locale="da-DK")
        made.context.route("**/actions/count*", lambda route: route.abort())  # live, it loads itself again
        made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        made.goto("/you/factors/passkey")
        made.get_by_role("button", name="Create the passkey").click()
        made.wait_for_url("**/you")
        made.person = ada.person  # type: ignore[attr-defined]
        yield made


def order(house: House, person: str, **changed: Any) -> Any:
    """Of a tool whose pin names the payee as the recipient."""
    return draft(house, person, order={**ORDER, **changed})


def live_in(house: House, person: str, zone: str) -> None:
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == person).values(zone=zone)))


def test_what_is_signed_what_is_context_and_what_changed_meanwhile(
    page: Page, house: House, someone: Enrol, server: Server, tmp_path: Path
) -> None:
    person: str = page.person  # type: ignore[attr-defined]
    _a_payee_that_was_paid_before(page, house, person)
    _one_that_only_looks_like_it(page, house, person)
    _drift_while_it_is_open(page, house, server, person)
    _what_was_typed_stays(page, house, server, person)
    _its_receipt(page, house, person, tmp_path)
    _the_first_time_of_an_agent_a_tool_and_an_account(page, house, person)
    bob = someone("bob", ["finance"])[0]
    theirs = looking(page, house, bob)
    _on_whose_clock_it_was_asked(theirs, house, person, bob.person)
    _a_colleague_is_first(theirs, house, someone, person)
    theirs.context.close()


def _a_payee_that_was_paid_before(page: Page, house: House, person: str) -> None:
    page.goto(f"/actions/{held(house, order(house, person, amount='1200.00', note='Urgent: approve before midnight'), CONFIRM)}")
    facts, records = page.get_by_label("What it is about"), page.get_by_role("region", name=re.compile("instance’s records"))
    expect(facts.locator(".amount")).to_contain_text(re.compile(r"1\.200,00\s€\s*EUR · as sent: 1200\.00"))
    expect(records).to_contain_text("Paid 3 times since")
    expect(records).to_contain_text(re.compile(r"500,00\s€"))
    expect(records).to_contain_text(re.compile(r"2,5× the usual 480,00\s€"))
    expect(records).to_contain_text("Used this tool 3 times before")
    expect(page.locator("table.diff")).to_contain_text("2,4 times as much")
    expect(page.get_by_text(re.compile("Changed: Amount, "))).to_be_visible()
    heading = page.get_by_role("heading", level=1)
    assert "Ledger Desk" not in heading.inner_text() + page.title()
    assert "Urgent" not in facts.inner_text()
    above = """([one, other]) => document.querySelector(one).getBoundingClientRect().top
        < document.querySelector(other).getBoundingClientRect().top"""
    assert page.evaluate(above, [".facts", ".records"])
    assert page.evaluate(above, [".records", "section:has(> .said.list:not(.plain))"])
    looked_at(page, "paid-before")


def _one_that_only_looks_like_it(page: Page, house: House, person: str) -> None:
    live_in(house, person, HELSINKI)
    page.goto(f"/actions/{held(house, order(house, person, payee='Nоrdlicht Energie' + chr(0x200B) + ' GmbH'), CONFIRM)}")
    facts, records = page.get_by_label("What it is about"), page.get_by_role("region", name=re.compile("instance’s records"))
    expect(facts).to_contain_text("Looks like “Nordlicht Energie GmbH”")
    expect(facts).to_contain_text("One word in Cyrillic and Latin letters")
    expect(facts).to_contain_text("U+200B zero width space")
    assert "о" in facts.locator(".who .boxed").all_inner_texts()
    expect(records).to_contain_text("Never paid")
    looked_at(page, "lookalike")


def _drift_while_it_is_open(page: Page, house: House, server: Server, person: str) -> None:
    held_id = held(house, order(house, person, amount="77.00"), CONFIRM)
    page.goto(f"/actions/{held_id}")
    server.drift = "the server describes send_payment otherwise now"
    button = page.get_by_role("button", name=re.compile("^Confirm 77,00"))
    page.get_by_role("heading", name=re.compile("Why it is held")).scroll_into_view_if_needed()
    expect(button).not_to_have_attribute("data-asleep", re.compile(".*"))
    with page.expect_response(f"**/actions/{held_id}/decide") as answered:
        button.click()
    assert answered.value.status == 409
    expect(page.get_by_role("region", name="What changed since you looked")).to_contain_text("describes send_payment otherwise")
    server.drift = None
    looked_at(page, "changed")


def _what_was_typed_stays(page: Page, house: House, server: Server, person: str) -> None:
    """The page loads itself again when the action moves on."""
    held_id = held(house, order(house, person, amount="78.00"), CONFIRM)
    page.goto(f"/actions/{held_id}")
    page.get_by_text("Reject…").first.click()
    page.locator("#decide textarea").fill("I was asked about <this> by phone.")
    page.reload()
    expect(page.locator("#decide textarea")).to_have_value("I was asked about <this> by phone.")
    server.drift = "a scope was taken back"
    page.reload()
    server.drift = None
    expect(page.locator("#typed")).to_contain_text("I was asked about <this> by phone.")
    looked_at(page, "typed")


def _its_receipt(page: Page, house: House, person: str, folder: Path) -> None:
    held_id = held(house, order(house, person, amount="79.00"), CONFIRM)
    page.goto(f"/actions/{held_id}")
    button = page.get_by_role("button", name=re.compile("^Confirm 79,00"))
    page.get_by_role("heading", name=re.compile("Why it is held")).scroll_into_view_if_needed()
    expect(button).not_to_have_attribute("data-asleep", re.compile(".*"))
    with page.expect_navigation():
        button.click()
    assert action(house, held_id).state == "approved"
    page.get_by_text("Receipt", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="With the arguments").click()
    download.value.save_as(folder / "receipt.json")
    raw = (folder / "receipt.json").read_bytes()
    receipt: Mapping[str, Any] = json.loads(raw)
    found = verify(raw, VerifierKey.parse(receipt["keys"]["log"][0]))
    assert any("signed this verdict on this very document" in line for line in found.verified)
    looked_at(page, "receipt")


def _the_first_time_of_an_agent_a_tool_and_an_account(page: Page, house: House, person: str) -> None:
    """Of an agent that never called here; then it called another tool, without the account; then this one, with it."""
    account = Account(id="con_first", owner=person, provider="harbour", account="acc_1", label="Ada’s account")
    records = page.get_by_role("region", name=re.compile("instance’s records"))
    rows = [
        ("The first that this agent does here", "The first time that this agent uses this account"),
        ("The first time that this agent uses this tool", "The first time that this agent uses this account"),
        ("Used this tool once before", "Used by this agent once before"),
    ]
    asked = []
    for number, (agent, there) in enumerate(rows):
        made = draft(house, person, account=account, order={**ORDER, "reference": f"F-{number}"})
        asked.append(held(house, replace(made, client={**made.client, "id": "cli_first"}), CONFIRM))
        page.goto(f"/actions/{asked[number]}")
        expect(records).to_contain_text(agent)
        expect(records).to_contain_text(there)
        called = usage.Call(person, account["id"] if number else None, "cli_first", "bank", "send_payment" if number else "list")
        house.database.write(lambda s, one=called: usage.record(s, one, house.clock()))
    page.goto(f"/actions/{asked[0]}")
    for words in rows[0]:
        expect(records).to_contain_text(words)


def _on_whose_clock_it_was_asked(page: Page, house: House, person: str, approver: str) -> None:
    """To an approver in California, of what was asked for Ada in Helsinki, of an instance in UTC."""
    live_in(house, person, HELSINKI)
    live_in(house, approver, WEST)
    for weekday, hour, chips in ((2, 22, ["here", "for Ada"]), (5, 12, ["here", "for Ada", "for you"]), (2, 12, ["for you"])):
        asked = last(house.clock(), weekday, hour)
        then = replace(house, clock=lambda at=asked: at)
        held_id = held(then, order(house, person, reference=f"{weekday} at {hour}"), APPROVE, within=14 * 86400)
        page.goto(f"/actions/{held_id}")
        here, there = (asked.astimezone(ZoneInfo(zone)) for zone in (WEST, HELSINKI))
        abroad = f"{there:%H:%M}" if there.date() == here.date() else f"{there.day} {there:%b, %H:%M}"
        facts = page.get_by_label("What it is about")
        expect(facts).to_contain_text(re.compile(re.escape(
            f"Asked {here.day} {here:%b %Y, %H:%M} your time · {abroad} in Helsinki, for Ada · "
        ) + "[0-9]+ (hours|days?) ago"))
        expect(facts.locator(".chip", has_text="Out of hours")).to_have_text([f"Out of hours {whose}" for whose in chips])


def _a_colleague_is_first(page: Page, house: House, someone: Enrol, person: str) -> None:
    """Of two that are needed, theirs was one of several when the page opened, and is the last one now: it is not taken, the page
    says what changed, what was typed is there, and pressed again it is."""
    cleo, key = someone("cleo", ["finance"])
    held_id = held(house, order(house, person, amount="81.00"), TWO)
    page.goto(f"/actions/{held_id}")
    page.get_by_text("Reject…").first.click()
    page.locator("#decide textarea").fill("Ask me <first>.")
    assert decide(cleo, key, held_id).status_code == 303
    button = page.get_by_role("button", name=re.compile("^Approve .*81.00"))
    for status in (409, 303):
        look_through(page)
        expect(button).not_to_have_attribute("data-asleep", re.compile(".*"))
        with page.expect_response(f"**/actions/{held_id}/decide") as answered:
            button.click()
        assert answered.value.status == status
        if status == 409:
            since = page.get_by_role("region", name="What changed since you looked").get_by_role("row")
            expect(since.filter(has_text="Cleo")).to_contain_text(re.compile("had not decided.*approved it", re.DOTALL))
            expect(since.filter(has_text="What your word does")).to_contain_text("It is the last word that is needed")
            expect(page.locator("#decide textarea")).to_have_value("Ask me <first>.")
            assert action(house, held_id).state == "held"
    assert action(house, held_id).state == "approved"


def last(now: datetime, weekday: int, hour: int) -> datetime:
    """The last such day before today, at half past this hour."""
    back = (now.weekday() - weekday) % 7 or 7
    return (now - timedelta(days=back)).replace(hour=hour, minute=30, second=0, microsecond=0)


def looking(page: Page, house: House, who: Client) -> Page:
    """A page of their own, in English, with a passkey."""
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = who.get_cookie(name)
    assert cookie is not None
    assert page.context.browser
    made = open_page(page.context.browser, locale="en-GB")
    made.context.route("**/actions/count*", lambda route: route.abort())
    made.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
    made.goto("/you/factors/passkey")
    made.get_by_role("button", name="Create the passkey").click()
    made.wait_for_url("**/you")
    return made
