"""Somebody who can write to the database, or who replays what they saw, gets nothing run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from html import unescape

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.app_parts import hidden
from tests.authenticator import Passkey
from tests.conftest import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import (
    APPROVE,
    CONFIRM,
    OPTIONS,
    ORDER,
    TWO,
    Server,
    action,
    decide,
    draft,
    forge,
    held,
    options,
    reject,
)
from webapp.approvals import Tampered, execution, jobs
from webapp.approvals.tables import ActionGroup, Decision, Payload
from webapp.db.due import Due
from webapp.errors import Conflict, LogStalled
from webapp.ids import new_id
from webapp.people.tables import Person
from webapp.web.house import House

pytestmark = pytest.mark.both


def run(house: House, action_id: str, server: Server) -> str:
    return execution.run(house, action_id, server, server.recheck).state


def copy(session: Session, row: Decision, **changes: str) -> None:
    values = {name: getattr(row, name) for name in ("action", "person", "verdict", "body", "signature", "entry", "at")}
    session.add(Decision(id=new_id("dec"), **{**values, **changes}))


def test_a_state_written_into_the_database_approves_nothing(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person))
    forge(house, held_id, state="approved", run_by=house.clock())
    forge(house, held_id, run_by=None)
    assert run(house, held_id, server) == "void"
    assert server.calls == []


def test_a_decision_written_into_the_database_counts_for_nothing(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    real, target = (held(house, draft(house, ada.person, order={**ORDER, "reference": name})) for name in "ab")
    decide(bob, bob_key, real)

    def forged(session: Session) -> None:
        given = session.scalars(select(Decision).where(Decision.action == real)).one()
        body = given.body.replace(real, target).replace(action(house, real).digest, action(house, target).digest)
        copy(session, given, action=target, body=body)

    house.database.write(forged)
    assert "counts for nothing" in ada.get(f"/actions/{target}").text
    forge(house, target, state="approved")
    assert run(house, target, server) == "void"
    assert server.calls == []


def test_a_statement_replayed_on_another_action_counts_for_nothing(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    real, target = (held(house, draft(house, ada.person, order={**ORDER, "reference": name})) for name in "ab")
    decide(bob, bob_key, real)
    house.database.write(
        lambda s: copy(s, s.scalars(select(Decision).where(Decision.action == real)).one(), action=target)
    )
    forge(house, target, state="approved")
    assert run(house, target, server) == "void"
    assert server.calls == []


def test_an_assertion_made_for_one_action_decides_no_other(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    seen, target = (held(house, draft(house, ada.person, order={**ORDER, "reference": name})) for name in "ab")
    page = bob.get(f"/actions/{seen}")
    assertion = bob_key.get(options(page), origin="http://localhost:8000")
    shown = hidden(bob.get(f"/actions/{target}"), "shown")
    answer = bob.send(f"/actions/{target}/decide", shown=shown, sealed=hidden(page, "sealed"), assertion=json.dumps(assertion))
    assert answer.status_code == 400
    assert action(house, target).state == "held"


def test_a_passkey_written_into_the_database_decides_nothing(house: House, someone: Enrol, server: Server) -> None:
    """Attack: a session of Bob's is at hand, his passkey is not; another is written in its place, old enough to approve."""
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    held_id, theirs = held(house, draft(house, ada.person)), Passkey()
    made = theirs.create(json.loads(unescape(OPTIONS.findall(bob.get("/you/factors/passkey").text)[0])), origin=PUBLIC_URL)
    old = "2020-01-01T00:00:00+00:00"
    row = {**made, "id": "fac_0", "kind": "passkey", "created_at": old, "credential": made["id"]}
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == bob.person).values(factors=[row])))
    assert decide(bob, theirs, held_id).status_code == 400
    assert action(house, held_id).state == "held"
    forge(house, held_id, state="approved")
    assert run(house, held_id, server) == "void"
    assert server.calls == []


def test_an_envelope_swapped_for_another_ones_is_neither_shown_nor_run(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    amounts = ("1.00", "999.00")
    small, large = (held(house, draft(house, ada.person, order={**ORDER, "amount": text}), CONFIRM) for text in amounts)
    decide(ada, key, small)

    def swap(session: Session) -> None:
        other = session.get(Payload, (large, "request"))
        assert other is not None
        values = {name: getattr(other, name) for name in ("nonce", "ciphertext", "key_nonce", "key_ciphertext", "wrapped")}
        session.execute(update(Payload).where(Payload.action == small).values(**values))

    house.database.write(swap)
    with pytest.raises(Tampered):
        run(house, small, server)
    forge(house, small, digest=action(house, large).digest)
    with pytest.raises(Tampered):
        run(house, small, server)
    answer = ada.get(f"/actions/{small}")
    assert answer.status_code == 503
    assert "does not verify" in answer.text
    assert server.calls == []


def test_a_requirement_lowered_in_the_database_is_not_lowered(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person), TWO)
    forge(house, held_id, requirement=[], asks_owner=True)
    decide(bob, bob_key, held_id)
    assert action(house, held_id).state == "held"
    forge(house, held_id, state="approved")
    assert run(house, held_id, server) == "void"


def test_owners_changed_in_the_database_let_nobody_approve_their_own(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    forge(house, held_id, person="per_other", owner="per_other", agent_owner="per_other")
    page = ada.get(f"/actions/{held_id}")
    assert "You cannot approve this" in page.text
    shown = action(house, held_id).digest
    assert ada.send(f"/actions/{held_id}/challenge", shown=shown).status_code == 403
    assert ada.send(f"/actions/{held_id}/decide", shown=shown, code="123456").status_code == 403


def test_a_group_written_into_the_database_shows_nobody_the_action(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    eve, _ = someone("eve", ["outsiders"])
    held_id = held(house, draft(house, ada.person))
    house.database.write(lambda s: s.add(ActionGroup(action=held_id, name="outsiders")))
    assert eve.get(f"/actions/{held_id}").status_code == 404


def test_what_ran_does_not_run_again_when_its_state_is_set_back(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    assert run(house, held_id, server) == "done"
    with pytest.raises(Conflict):
        run(house, held_id, server)
    forge(house, held_id, state="approved", run=None, ended_at=None)
    assert run(house, held_id, server) == "void"
    assert len(server.calls) == 1


def test_a_page_shown_before_a_change_decides_nothing_after_it(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    answer = decide(ada, key, held_id, shown="00" * 32)
    assert answer.status_code == 409
    assert "Confirm €480.00" in answer.text
    assert action(house, held_id).state == "held"
    server.drift = "the server changed its description of this tool"
    server_page = ada.get(f"/actions/{held_id}")
    assert "The server changed its description" in server_page.text
    assert action(house, held_id).state == "void"


def test_what_drifts_between_page_and_press_is_void(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    page = ada.get(f"/actions/{held_id}")
    server.drift = "the agent's access was revoked"
    answer = ada.send(
        f"/actions/{held_id}/decide", shown=hidden(page, "shown"), sealed=hidden(page, "sealed"),
        assertion=json.dumps(key.get(options(page), origin="http://localhost:8000")),
    )
    assert answer.status_code == 409
    assert action(house, held_id).state == "void"


def test_what_drifts_between_approval_and_execution_is_void(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    server.drift = "policy refuses it now"
    assert run(house, held_id, server) == "void"
    assert server.calls == []


def test_a_rejection_after_the_approval_still_stops_it(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, _ = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person))
    decide(bob, bob_key, held_id)
    assert reject(cleo, held_id).status_code == 303
    with pytest.raises(Conflict):
        run(house, held_id, server)
    forge(house, held_id, state="approved")
    assert run(house, held_id, server) == "void"
    assert server.calls == []


def at_once(*work: Callable[[], object]) -> list[object]:
    """Run them at the same time; what each returned or raised."""
    gate, results = threading.Barrier(len(work)), [None] * len(work)  # type: list[object]

    def one(place: int) -> None:
        gate.wait()
        try:
            results[place] = work[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_approvers_a_rejection_and_the_end_of_time_all_at_once_leave_one_outcome(
    house: House, someone: Enrol, server: Server, clock: Clock
) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    dan, _ = someone("dan", ["finance"])
    held_id = held(house, draft(house, ada.person), TWO)
    due = Due(id="x", kind="approvals.expire", key=held_id, run_at=clock(), payload={})
    results = at_once(
        lambda: decide(bob, bob_key, held_id), lambda: decide(cleo, cleo_key, held_id), lambda: reject(dan, held_id),
        lambda: jobs.expire(house, due), lambda: jobs.expire(house, due),
    )
    assert all(getattr(one, "status_code", 303) in (303, 409) for one in results), results
    state = action(house, held_id).state
    with house.database.read() as session:
        verdicts = list(session.scalars(select(Decision.verdict).where(Decision.action == held_id)))
    assert state == ("rejected" if "reject" in verdicts else "approved" if len(verdicts) == 2 else "held")
    assert "reject" in verdicts


def test_many_that_run_it_at_once_send_it_once(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    results = at_once(*[lambda: execution.run(house, held_id, server, server.recheck).state] * 6)
    assert len(server.calls) == 1
    assert all(one == "done" or isinstance(one, Conflict) for one in results), results


def test_nothing_runs_before_a_signed_checkpoint_covers_the_decision(
    house: House, someone: Enrol, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    monkeypatch.setattr("webapp.audit.log.sequence", lambda house: 0)
    monkeypatch.setattr(execution, "COVER", 0.2)
    with pytest.raises(LogStalled):
        run(house, held_id, server)
    assert server.calls == []
    assert action(house, held_id).state == "approved"
