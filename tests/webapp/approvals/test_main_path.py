"""From a held call to the bank's receipt, by confirmation and by approval."""

from __future__ import annotations

from sqlalchemy import select

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, TWO, Server, action, decide, draft, held, reject
from webapp.approvals import execution
from webapp.approvals.tables import Usage
from webapp.web.house import House


def test_its_owner_confirms_and_it_runs_once(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    page = ada.get(f"/actions/{held_id}")
    assert "Confirm €480.00" in page.text
    assert "Approve €" not in page.text
    assert decide(ada, key, held_id).status_code == 303
    assert action(house, held_id).state == "approved"
    outcome = execution.run(house, held_id, server, server.recheck)
    assert (outcome.state, outcome.result["structuredContent"]) == ("done", {"receipt": "HB-1"})
    assert [call[0] for call in server.calls] == [held_id]
    assert "HB-1" in ada.get(f"/actions/{held_id}").text


def test_others_approve_what_its_owner_sees_and_cannot_give(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada", ["user", "finance"])
    bob, bob_key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    own = ada.get(f"/actions/{held_id}").text
    assert "You cannot approve this" in own
    assert 'action="/actions/' + held_id + '/decide"' not in own
    assert "Approve €480.00" in bob.get(f"/actions/{held_id}").text
    assert decide(bob, bob_key, held_id).status_code == 303
    assert action(house, held_id).state == "approved"


def test_two_people_are_two_people(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person, runs="approval"), TWO)
    assert "It runs when the last word is given" in bob.get(f"/actions/{held_id}").text
    decide(bob, bob_key, held_id)
    assert action(house, held_id).state == "held"
    shown = cleo.get(f"/actions/{held_id}").text
    assert "1 of 2 from finance" in shown
    assert "It runs when you approve" in shown
    assert "You have given your word" in bob.get(f"/actions/{held_id}").text
    decide(cleo, cleo_key, held_id)
    assert action(house, held_id).state == "approved"


def test_a_rejection_reaches_the_agent_with_its_reason(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person))
    assert reject(bob, held_id, "Wrong IBAN: call them.").status_code == 303
    from webapp.approvals import snapshot

    found = snapshot(house, held_id)
    assert found.state == "rejected"
    assert "Wrong IBAN: call them." in found.status_message
    with house.database.read() as session:
        assert session.scalars(select(Usage.state).where(Usage.action == held_id)).one() == "released"
