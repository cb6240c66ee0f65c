"""Nobody left who may decide is said when a call is held: to the agent, on the page, to admins. It is held all the same."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import update

from tests.app_parts import People
from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import ORDER, action, draft, held, need
from webapp.approvals import jobs
from webapp.approvals.waiting import snapshot
from webapp.db.due import Due
from webapp.people.tables import Person
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def factors_count_at_once(app: Flask, house: House) -> None:
    """As in an evaluation instance: a factor need not be a day old."""
    house.settings.evaluation = True


def crew(signed_in: People) -> str:
    """A group that no other test knows."""
    return f"crew-{signed_in.run}"


def look_again(house: House, held_id: str) -> None:
    """What the worker does with the action's due row."""
    jobs.expire(house, Due(key=held_id))


def test_an_unknown_group_is_said_to_the_agent_on_the_page_and_to_admins(house: House, someone: Enrol, signed_in: People) -> None:
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person), [need(group=crew(signed_in))])
    assert action(house, held_id).state == "held"  # fail closed: it waits, and nothing runs
    message = snapshot(house, held_id).status_message
    assert "Nobody who is there now can decide it." in message
    assert "nobody of that group has signed in here" in message
    page = ada.get(f"/actions/{held_id}").text
    assert "Nobody who is there now can decide this." in page
    assert "Whoever runs the identity provider puts people into the group" in page
    root, _ = someone("root", groups=["admin"])
    assert "Nobody can decide these" in root.get("/start").text
    assert "Nobody can decide these" not in ada.get("/start").text


def test_it_is_looked_at_again_and_is_mended_by_who_signs_in(house: House, someone: Enrol, signed_in: People) -> None:
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person), [need(group=crew(signed_in))])
    someone("bob", groups=[crew(signed_in)])
    assert action(house, held_id).short
    look_again(house, held_id)
    assert action(house, held_id).short == ""
    assert "Nobody" not in snapshot(house, held_id).status_message
    assert "Bob can give it" in ada.get(f"/actions/{held_id}").text


def test_who_is_suspended_or_without_a_factor_is_not_counted(house: House, someone: Enrol, signed_in: People) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", groups=[crew(signed_in)])
    signed_in.first_step("cas", groups=[crew(signed_in)])  # no factor yet
    held_id = held(house, draft(house, ada.person), [need(group=crew(signed_in), quorum=2)])
    why = action(house, held_id).short
    assert "It needs 2" in why
    assert "1 of the 2 known here can decide (1 without a factor that counts)" in why
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == bob.person).values(suspended="inc_1")))
    look_again(house, held_id)
    assert "nobody of the 2 known here can decide (1 suspended, 1 without" in action(house, held_id).short
    assert "An administrator can lift a suspension." in ada.get(f"/actions/{held_id}").text


def test_the_requester_is_nobody_for_their_own_action(house: House, someone: Enrol, signed_in: People) -> None:
    ada, _ = someone("ada", groups=[crew(signed_in)])
    held_id = held(house, draft(house, ada.person), [need(group=crew(signed_in))])
    assert "nobody of the 1 known here can decide (1 asked for it" in action(house, held_id).short


def test_one_person_in_two_groups_is_one_person(house: House, someone: Enrol, signed_in: People) -> None:
    ada, _ = someone("ada")
    one, two = crew(signed_in), crew(signed_in) + "-b"
    someone("bob", groups=[one, two])
    held_id = held(house, draft(house, ada.person), [need(group=one), need(group=two)])
    assert action(house, held_id).short
    someone("cas", groups=[two])
    look_again(house, held_id)
    assert action(house, held_id).short == ""


def test_a_factor_that_is_too_young_or_too_weak_does_not_count(
    house: House, clock: Clock, someone: Enrol, signed_in: People
) -> None:
    house.settings.evaluation = False
    ada, _ = someone("ada")
    someone("bob", groups=[crew(signed_in)])
    held_id = held(house, draft(house, ada.person), [need(group=crew(signed_in), factor="passkey")], within=3 * 86400)
    assert "without a factor that counts" in action(house, held_id).short
    clock.forward(hours=25)
    look_again(house, held_id)
    assert action(house, held_id).short == ""


def test_a_removed_factor_is_no_factor(app: Flask, house: House, someone: Enrol, signed_in: People) -> None:
    bob, _ = someone("bob", groups=[crew(signed_in)])
    for factor in house.door.factors(bob.person)[:-1]:
        assert bob.send(f"/you/factors/{factor.id}/remove").status_code == 303
    with house.database.read() as session:
        kept = session.get_one(Person, bob.person).factors
    assert [one["id"] for one in kept] == [one.id for one in house.door.factors(bob.person)]
    assert len(kept) == 1


def test_signing_in_again_counts_as_far_as_the_operators_say(house: House, someone: Enrol, signed_in: People) -> None:
    """A factor is too young for a day; what the identity provider says is not."""
    house.settings.evaluation = False
    ada, _ = someone("ada")
    signed_in.meet()
    house.door.idp_put("main", {**signed_in.idp.record, "step_up_acr": {"urn:example:mfa": "totp"}})
    try:
        someone("bob", groups=[crew(signed_in)])
        signed_in.first_step("cas", groups=[crew(signed_in)])  # no factor yet: they cannot even come in
    finally:
        house.door.idp_put("main", signed_in.idp.record)
    asked = {"code": need(group=crew(signed_in)), "passkey": need(group=crew(signed_in), factor="passkey")}
    short = {name: action(house, held(house, draft(house, ada.person, order={**ORDER, "reference": name}), [one])).short
             for name, one in asked.items()}
    assert short["code"] == ""
    assert "nobody of the 2 known here can decide (2 without a factor that counts)" in short["passkey"]
