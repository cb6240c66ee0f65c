"""A claim says who is on it, and stops nobody."""

from __future__ import annotations

from datetime import timedelta

from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import action, draft, held, reject
from webapp.approvals import claims
from webapp.db.due import Due
from webapp.web.house import House


def test_a_second_approver_is_told_and_may_reject_all_the_same(house: House, someone: Enrol) -> None:
    ada, bob, cas = someone("ada")[0], someone("bob", groups=["finance"])[0], someone("cas", groups=["finance"])[0]
    held_id = held(house, draft(house, ada.person))
    assert bob.send(f"/actions/{held_id}/claim").status_code == 303
    assert "Bob is on it" in cas.get(f"/actions/{held_id}/now").text
    assert "You can decide all the same." in cas.get(f"/actions/{held_id}").text
    taken = cas.send(f"/actions/{held_id}/claim")
    assert taken.status_code == 409
    assert "Bob is on it already" in taken.text
    assert reject(cas, held_id).status_code == 303
    assert action(house, held_id).state == "rejected"


def test_a_claim_lapses_by_itself_and_the_open_page_hears_of_it(house: House, clock: Clock, someone: Enrol) -> None:
    ada, bob, cas = someone("ada")[0], someone("bob", groups=["finance"])[0], someone("cas", groups=["finance"])[0]
    held_id = held(house, draft(house, ada.person))
    bob.send(f"/actions/{held_id}/claim")
    until = claims.lapse(house, Due(key=held_id))
    assert until == clock() + timedelta(minutes=house.settings.approvals.claim_minutes)
    before = action(house, held_id).changed_at
    clock.forward(minutes=21)
    assert claims.lapse(house, Due(key=held_id)) is None
    assert action(house, held_id).changed_at > before
    assert "is on it" not in cas.get(f"/actions/{held_id}").text
    assert cas.send(f"/actions/{held_id}/claim").status_code == 303


def test_only_who_can_decide_claims_and_only_the_holder_gives_it_back(house: House, someone: Enrol) -> None:
    ada, bob, eve = someone("ada")[0], someone("bob", groups=["finance"])[0], someone("eve", groups=["sales"])[0]
    cas = someone("cas", groups=["finance"])[0]
    held_id = held(house, draft(house, ada.person))
    assert eve.send(f"/actions/{held_id}/claim").status_code == 404
    assert ada.send(f"/actions/{held_id}/claim").status_code == 403
    bob.send(f"/actions/{held_id}/claim")
    cas.send(f"/actions/{held_id}/release")
    assert "Bob is on it" in cas.get(f"/actions/{held_id}").text
    assert bob.send(f"/actions/{held_id}/release").status_code == 303
    assert "is on it" not in cas.get(f"/actions/{held_id}").text
