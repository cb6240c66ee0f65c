"""From a held call to the bank's receipt, by confirmation and by approval."""

from __future__ import annotations

import re

from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, TWO, Server, action, decide, draft, forge, held, reject
from webapp.approvals import execution, jobs, snapshot
from webapp.approvals.tables import Usage
from webapp.db.due import Due
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


def told(page: TestResponse, about: str) -> str:
    """All that a page says, or a list in its row, for scripts and screen readers too; no addresses. What it says of a recipient,
    "never approved before", is of other calls."""
    plain = re.sub(r'(?:href|src|action|data-state|hx-[\w:-]+|class|value)="[^"]*"', "", page.text)
    rows = [row for row in re.findall(r"<li[ >].*?</li>", page.text, re.DOTALL) if about in row]
    return (re.sub(r'href="[^"]*"', "", " ".join(rows)) if rows else plain).lower().replace("never approved before", "")


def test_what_its_owner_confirms_is_called_an_approval_nowhere(house: House, someone: Enrol, server: Server) -> None:
    """That word is for what somebody else gives: no page says it of a second look, and no answer to the agent."""
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)

    def looked_at(state: str) -> None:
        assert action(house, held_id).state == state
        for path in (f"/actions/{held_id}", "/actions?tab=mine"):
            page = told(ada.get(path), held_id)
            around = [page[max(0, at.start() - 60):at.end() + 30] for at in re.finditer("approv", page)]
            assert around == [], (state, path)
        assert "approv" not in snapshot(house, held_id).status_message

    looked_at("held")
    assert decide(ada, key, held_id).status_code == 303
    looked_at("approved")
    assert "Confirmed, not run yet" in ada.get("/actions?tab=mine").text
    assert "was confirmed" in snapshot(house, held_id).status_message
    due = Due(id="x", kind="approvals.expire", key=held_id, run_at=house.clock(), payload={})
    forge(house, held_id, run_by=house.clock())
    jobs.expire(house, due)
    looked_at("expired")
    assert "It was confirmed, but nobody picked that up in time." in ada.get(f"/actions/{held_id}").text
    for state in ("uncertain", "done", "failed"):
        forge(house, held_id, state=state, reason="")
        looked_at(state)


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
    found = snapshot(house, held_id)
    assert found.state == "rejected"
    assert "Wrong IBAN: call them." in found.status_message
    with house.database.read() as session:
        assert session.scalars(select(Usage.state).where(Usage.action == held_id)).one() == "released"
