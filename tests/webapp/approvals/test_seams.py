"""Attacks on the seams between the rooms: whoever writes to the database, or comes late, gets nothing run."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import delete, select, update

from tests.app_parts import People
from tests.conftest import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, ORDER, Server, action, decide, draft, forge, held, reject
from webapp import audit
from webapp.approvals import execution, usage
from webapp.approvals.tables import Decision, KnownRecipient
from webapp.audit.tables import Entry
from webapp.errors import LogStalled, Unavailable
from webapp.people.tables import Person
from webapp.web.house import House

pytestmark = pytest.mark.both


def run(house: House, action_id: str, server: Server) -> str:
    return execution.run(house, action_id, server, server.recheck).state


def erase(house: House, action_id: str) -> None:
    """What the log has about the end of an action."""
    house.database.write(lambda s: s.execute(delete(Entry).where(Entry.subject == action_id, Entry.kind.in_(execution.OVER))))


def revive(house: House, action_id: str) -> None:
    forge(house, action_id, state="approved", run=None, run_by=None, ended_at=None)


def test_a_call_without_an_account_is_verified_by_the_keeper_and_runs_once_whatever_the_database_says(
    house: House, someone: Enrol, server: Server
) -> None:
    """No token stands between the decision and the call, so the keeper spends the approval itself."""
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    assert run(house, held_id, server) == "done"
    erase(house, held_id)
    revive(house, held_id)
    assert run(house, held_id, server) == "failed"
    assert len(server.calls) == 1


def test_a_rejection_deleted_from_the_database_still_stops_it(house: House, someone: Enrol, server: Server) -> None:
    """The approvals that came before it are genuine and are all that is presented. The keeper remembers that it said no."""
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, _ = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    decide(bob, bob_key, held_id)
    assert reject(cleo, held_id).status_code == 303
    house.database.write(lambda s: s.execute(delete(Decision).where(Decision.verdict == "reject")))
    erase(house, held_id)
    revive(house, held_id)
    assert run(house, held_id, server) == "failed"
    assert "rejected" in action(house, held_id).reason
    assert server.calls == []


@pytest.mark.parametrize("how", ["withdrawn", "expired", "void"])
def test_what_ended_before_it_ran_is_not_revived_by_setting_its_state_back(
    house: House, someone: Enrol, server: Server, how: str
) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    decide(bob, bob_key, held_id)
    if how == "withdrawn":
        assert ada.send(f"/actions/{held_id}/withdraw").status_code == 303
    elif how == "expired":
        forge(house, held_id, run_by=house.clock())
        assert run(house, held_id, server) == "expired"
    else:
        server.drift = "the agent's access was revoked"
        assert run(house, held_id, server) == "void"
        server.drift = None
    revive(house, held_id)
    assert run(house, held_id, server) == "void"
    assert server.calls == []


def test_an_approval_kept_alive_in_the_database_lapses_by_its_statements(
    house: House, someone: Enrol, server: Server, clock: Clock
) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    forge(house, held_id, run_by=None)
    clock.forward(minutes=17)
    assert run(house, held_id, server) == "expired"
    assert server.calls == []


def test_an_approver_whose_group_was_taken_away_carries_nothing_also_without_an_account(
    house: House, someone: Enrol, server: Server, signed_in: People
) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    decide(bob, bob_key, held_id)
    signed_in.first_step("bob", groups=["user"])
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == bob.person).values(groups=["finance"])))
    assert run(house, held_id, server) == "failed", "the keeper knows better than the table"
    assert server.calls == []


def test_an_approver_whose_group_was_taken_away_makes_it_void_before_the_keeper_is_asked(
    house: House, someone: Enrol, server: Server, signed_in: People
) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    decide(bob, bob_key, held_id)
    signed_in.first_step("bob", groups=["user"])
    assert run(house, held_id, server) == "void"
    assert action(house, held_id).reason == "Bob, who approved it, is no longer in finance."
    assert server.calls == []


def test_what_cannot_be_compared_now_costs_no_approval(
    house: House, someone: Enrol, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another policy set in this process is no drift: 503, and the action waits."""
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)

    def differs(*_: object) -> str:
        raise Unavailable("This process holds another set of rules than the active one.", code="policy_differs")

    monkeypatch.setattr("webapp.gateway.drifting._changed", differs)
    from webapp.gateway.drifting import recheck

    with pytest.raises(Unavailable):
        execution.run(house, held_id, server, recheck(house))
    assert action(house, held_id).state == "approved"
    assert server.calls == []


def test_a_log_that_stands_still_stops_what_was_held_also_where_its_decisions_are_covered(
    house: House, someone: Enrol, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    decide(ada, key, held_id)
    audit.sequence(house)
    house.database.write(lambda s: audit.append(s, kind="x.y", actor="system", subject="x", detail={}, at=house.clock()))
    house.clock.forward(seconds=11)  # type: ignore[attr-defined]
    monkeypatch.setattr("webapp.audit.log.sequence", lambda house: 0)
    with pytest.raises(LogStalled):
        run(house, held_id, server)
    assert action(house, held_id).state == "approved"
    assert server.calls == []


def test_two_payments_to_one_new_recipient_that_end_at_once_are_both_remembered(house: House, someone: Enrol) -> None:
    """Else the one that loses is called uncertain although its answer was heard."""
    ada, _ = someone("ada")
    actions = [action(house, held(house, draft(house, ada.person, order={**ORDER, "reference": name}))) for name in "ab"]
    gate, errors = threading.Barrier(2), list[BaseException]()

    def settle(number: int) -> None:
        def write(session: object) -> None:
            if not house.database.sqlite:
                gate.wait(60)
            usage.remember_recipient(
                session, actions[number], recipient="DE89", shown_as="DE89", base_minor=number, now=house.clock()  # type: ignore[arg-type]
            )

        try:
            house.database.write(write)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=settle, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with house.database.read() as session:
        assert session.scalars(select(KnownRecipient.times)).one() == 2
