"""Deciding by signing in again: there, back, and once; for the page that was shown, in the session that pressed the button."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from tests.app_parts import ONWARD, Browser, People, hidden
from tests.conftest import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, ORDER, Server, action, draft, held
from webapp.approvals.step_up import BACK
from webapp.approvals.tables import Decision, StepUp
from webapp.web.house import House

MFA = "urn:example:mfa"


@pytest.fixture
def stepping(signed_in: People, house: House) -> Iterator[People]:
    """Signing in again counts as a code does; for this test alone."""
    signed_in.meet()
    house.door.idp_put("main", {**signed_in.idp.record, "step_up_acr": {MFA: "totp"}})
    yield signed_in
    house.door.idp_put("main", signed_in.idp.record)


def waiting(house: House, someone: Enrol, name: str = "a") -> str:
    ada, _ = someone("ada")
    return held(house, draft(house, ada.person, order={**ORDER, "reference": name}), APPROVE)


def press(browser: Browser, action_id: str) -> str:
    """The button of the page: where the browser is sent."""
    page = browser.get(f"/actions/{action_id}")
    onward = browser.send(f"/actions/{action_id}/sign-in-again", shown=hidden(page, "shown"))
    found = ONWARD.search(onward.text)
    assert found, f"{onward.status} {onward.text[:2000]}"
    return unescape(found.group(1))


def come_back(people: People, browser: Browser, url: str, person: str = "bob", **claims: Any) -> Any:
    came = people.idp.authorize(url, **{"subject": people.subject(person), "acr": MFA, **claims})
    return browser.get(f"{BACK}?{urlencode(came)}")


def factors(house: House, action_id: str) -> list[dict[str, Any]]:
    with house.database.read() as session:
        return [json.loads(body)["factor"] for body in session.scalars(select(Decision.body).where(Decision.action == action_id))]


def test_who_signs_in_again_has_approved(house: House, someone: Enrol, stepping: People, server: Server) -> None:
    bob, _ = someone("bob", ["finance"])
    held_id = waiting(house, someone)
    page = bob.get(f"/actions/{held_id}").text
    assert "Sign in again" in page
    done = come_back(stepping, bob, press(bob, held_id))
    assert (done.status_code, done.headers["Location"]) == (303, f"/actions/{held_id}")
    assert action(house, held_id).state in ("approved", "executing", "done")
    assert [(one["kind"], one["strength"], one["acr"]) for one in factors(house, held_id)] == [("idp", "totp", MFA)]
    assert "by signing in again" in bob.get(f"/actions/{held_id}").text


def test_it_is_not_offered_where_no_operator_said_what_counts(
    house: House, someone: Enrol, signed_in: People, server: Server
) -> None:
    bob, _ = someone("bob", ["finance"])
    held_id = waiting(house, someone)
    page = bob.get(f"/actions/{held_id}")
    assert "Sign in again" not in page.text
    answer = bob.send(f"/actions/{held_id}/sign-in-again", shown=hidden(page, "shown"))
    assert answer.status_code == 400
    assert "nobody decides by signing in again" in answer.text


@pytest.mark.parametrize("claims", [
    {"acr": "urn:example:password"}, {"nonce": "of another"}, {"person": "ada"}, {"auth_time": 1},
], ids=["weaker", "another nonce", "another person", "old"])
def test_what_is_not_enough_decides_nothing_and_says_why(
    house: House, someone: Enrol, stepping: People, server: Server, claims: dict[str, Any]
) -> None:
    bob, _ = someone("bob", ["finance"])
    held_id = waiting(house, someone)
    answer = come_back(stepping, bob, press(bob, held_id), **claims)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert (action(house, held_id).state, factors(house, held_id)) == ("held", [])


def test_it_is_used_once(house: House, someone: Enrol, stepping: People, server: Server) -> None:
    bob, _ = someone("bob", ["finance"])
    held_id = waiting(house, someone)
    url = press(bob, held_id)
    assert come_back(stepping, bob, url).status_code == 303
    again = come_back(stepping, bob, url)
    assert again.status_code == 400
    assert "used already" in again.text
    assert len(factors(house, held_id)) == 1


def test_it_comes_back_to_the_session_that_pressed_the_button(
    house: House, someone: Enrol, stepping: People, server: Server
) -> None:
    """Attack: somebody is led to the address with another's state, or their own in another browser."""
    bob, _ = someone("bob", ["finance"])
    eve, _ = someone("eve", ["finance"])
    held_id = waiting(house, someone)
    url = press(bob, held_id)
    assert come_back(stepping, eve, url, person="eve").status_code == 400
    assert come_back(stepping, stepping("bob", groups=["finance"]), url).status_code == 400
    assert factors(house, held_id) == []


def test_cancelling_there_decides_nothing(house: House, someone: Enrol, stepping: People, server: Server) -> None:
    bob, _ = someone("bob", ["finance"])
    held_id = waiting(house, someone)
    came = stepping.idp.authorize(press(bob, held_id), subject="x")
    answer = bob.get(f"{BACK}?{urlencode({'error': 'access_denied', 'state': came['state'], 'iss': came['iss']})}")
    assert answer.status_code == 400
    assert "you cancelled there" in answer.text
    assert action(house, held_id).state == "held"


def test_an_action_that_moved_on_meanwhile_is_not_decided(house: House, someone: Enrol, stepping: People, server: Server) -> None:
    bob, _ = someone("bob", ["finance"])
    eve, _ = someone("eve", ["finance"])
    held_id = waiting(house, someone)
    url = press(bob, held_id)
    eve.send(f"/actions/{held_id}/reject", shown=hidden(eve.get(f"/actions/{held_id}"), "shown"), reason="No.")
    assert action(house, held_id).state == "rejected"
    assert come_back(stepping, bob, url).status_code == 409
    assert action(house, held_id).state == "rejected"


def test_who_asked_does_not_approve_in_this_way_either(house: House, someone: Enrol, stepping: People, server: Server) -> None:
    ada, _ = someone("ada", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    page = ada.get(f"/actions/{held_id}")
    assert "Sign in again" not in page.text
    assert ada.send(f"/actions/{held_id}/sign-in-again", shown=action(house, held_id).digest).status_code == 403


def test_it_lapses(house: House, someone: Enrol, stepping: People, server: Server, clock: Clock) -> None:
    bob, _ = someone("bob", ["finance"])
    held_id = waiting(house, someone)
    url = press(bob, held_id)
    clock.forward(seconds=house.settings.people.attempt_lifetime + 1)
    assert come_back(stepping, bob, url).status_code == 400
    assert factors(house, held_id) == []


def test_a_row_written_for_another_action_decides_nothing(house: House, someone: Enrol, stepping: People, server: Server) -> None:
    """Attack: who can write to the database points what bob began at another action."""
    bob, _ = someone("bob", ["finance"])
    seen, target = waiting(house, someone, "a"), waiting(house, someone, "b")
    url = press(bob, seen)
    shown = hidden(bob.get(f"/actions/{target}"), "shown")

    def point(session: Any) -> None:
        row = session.scalars(select(StepUp).where(StepUp.action == seen)).one()
        row.action, row.page = target, shown

    house.database.write(point)
    assert come_back(stepping, bob, url).status_code == 400
    assert (factors(house, seen), factors(house, target)) == ([], [])
