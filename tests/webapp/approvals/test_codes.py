"""Decisions by an authenticator's code: taken where the requirement allows one, once, and asked for of people who have an app."""

from __future__ import annotations

import json
import re
import time

import pyotp
import pytest
from sqlalchemy import select

from tests.app_parts import Browser, People, hidden
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, Server, action, draft, held, need
from webapp.approvals import execution
from webapp.approvals.receipt_check import verify
from webapp.approvals.tables import Decision
from webapp.audit.keys import VerifierKey
from webapp.web.house import House

KEY = re.compile(r'id="key">([A-Z2-7 ]+)<')
ASKS = "Use an authenticator code instead"
WEAKER = "A code signs nothing: only this server’s own record says that it was given for this."


def with_app(browser: Browser) -> str:
    """Enrol an authenticator app by this moment's code; the next one, which is good already and for a minute at least."""
    page = browser.get("/you/factors/totp")
    found = KEY.search(page.text)
    assert found, page.text
    codes, now = pyotp.TOTP(found.group(1).replace(" ", "")), int(time.time())
    done = browser.send("/you/factors/totp", sealed=hidden(page, "sealed"), code=codes.at(now), name="Phone")
    assert done.status_code == 303, done.text
    return codes.at(now + 30)


def give(browser: Browser, action_id: str, code: str) -> int:
    """Type the code on the action's page, which says what it is worth."""
    page = browser.get(f"/actions/{action_id}")
    assert 'class="by-code' in page.text, page.text
    assert WEAKER in page.text
    return browser.send(f"/actions/{action_id}/decide", shown=hidden(page, "shown"), code=code).status_code


def test_a_code_approves_and_the_call_runs_and_the_same_code_approves_nothing_else(
    house: House, someone: Enrol, server: Server, signed_in: People
) -> None:
    ada, _ = someone("ada")
    bob = signed_in.first_step("bob", groups=["finance"])
    code = with_app(bob)
    first, second = (
        held(house, draft(house, ada.person, order={"amount": amount, "currency": "EUR"}), APPROVE) for amount in ("1.00", "2.00")
    )
    assert "data-passkey" not in bob.get(f"/actions/{first}").text
    assert give(bob, first, code) == 303
    assert action(house, first).state == "approved"
    with house.database.read() as session:
        decision = session.scalars(select(Decision).where(Decision.action == first)).one()
    assert json.loads(decision.body)["factor"]["kind"] == "totp"
    assert execution.run(house, first, server, server.recheck).state == "done"
    page = bob.get(f"/actions/{first}").text
    assert "by code" in page
    assert WEAKER in page
    _its_receipt_says_it_too(ada, first)
    assert give(bob, second, code) == 400
    assert action(house, second).state == "held"
    assert len(server.calls) == 1


def _its_receipt_says_it_too(browser: Browser, action_id: str) -> None:
    """The decision is verified as the keeper's, and marked as no more than that."""
    raw = browser.get(f"/actions/{action_id}/receipt").data
    found = verify(raw, VerifierKey.parse(json.loads(raw)["keys"]["log"][0]))
    assert any("Bob" in line and "The keeper signed that" in line for line in found.verified)
    assert not any("passkey" in line for line in found.verified)
    assert any("Bob decided with an authenticator code. A code signs nothing" in line for line in found.weaker)


def test_the_owner_confirms_by_code(house: House, server: Server, signed_in: People) -> None:
    ada = signed_in.first_step("ada")
    code = with_app(ada)
    held_id = held(house, draft(house, ada.person), CONFIRM)
    assert give(ada, held_id, code[:3] + " " + code[3:]) == 303
    assert execution.run(house, held_id, server, server.recheck).state == "done"


@pytest.mark.parametrize("factor", ["", "totp"])
def test_a_code_is_asked_for_only_of_who_has_an_app(house: House, someone: Enrol, server: Server, factor: str) -> None:
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person), (need("confirm", factor=factor),))
    page = ada.get(f"/actions/{held_id}").text
    assert "data-passkey" in page
    assert ASKS not in page
    assert "by-code" not in page
    assert WEAKER not in page
    with_app(ada)
    assert ASKS in ada.get(f"/actions/{held_id}").text


def test_where_a_passkey_is_asked_for_no_code_is_offered_or_taken(
    house: House, someone: Enrol, server: Server, signed_in: People
) -> None:
    ada, _ = someone("ada")
    bob = signed_in.first_step("bob", groups=["finance"])
    code = with_app(bob)
    held_id = held(house, draft(house, ada.person), (need(factor="passkey"),))
    page = bob.get(f"/actions/{held_id}")
    assert "This needs a passkey, and you have none." in page.text
    assert "by-code" not in page.text
    refused = bob.send(f"/actions/{held_id}/decide", shown=hidden(page, "shown"), code=code)
    assert refused.status_code == 400
    assert action(house, held_id).state == "held"
