"""Actions of a restored copy: what may have run since is not run again, and what nobody decided waits on."""

from __future__ import annotations

import pytest

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import CONFIRM, ORDER, TWO, Server, action, again, decide, draft, forge, held
from webapp import audit
from webapp.approvals import afresh, execution
from webapp.errors import Conflict
from webapp.web.house import House


def restore(house: House) -> dict[str, int]:
    def work(session: object) -> dict[str, int]:
        audit.append(session, kind=audit.RESTORED, actor="cli", subject="rst_1", detail={}, at=house.clock())  # type: ignore[arg-type]
        return afresh.begin(session, house.clock())  # type: ignore[arg-type]

    house.clock.forward(seconds=5)  # type: ignore[attr-defined]
    return house.database.write(work)


def test_what_may_have_run_since_the_copy_is_looked_at_by_a_person(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    made = draft(house, ada.person)
    other = draft(house, ada.person, order={**ORDER, "amount": "5.00"})
    approved, running = held(house, made, CONFIRM), held(house, other, CONFIRM)
    for one in (approved, running):
        assert decide(ada, key, one).status_code == 303
    forge(house, running, state="executing", run="run_1", started_at=house.clock(), heartbeat_at=house.clock())
    assert restore(house) == {"uncertain": 2, "void": 0}
    assert {action(house, one).state for one in (approved, running)} == {"uncertain"}
    with pytest.raises(Conflict):
        execution.run(house, approved, server, server.recheck)
    found = again(house, made)
    assert found is not None
    assert (found.action_id, found.what) == (approved, "refuse")
    page = ada.get(f"/actions/{approved}")
    assert page.status_code == 200
    assert "may have run since" in page.text
    assert "Sent" not in page.text.split("<aside")[0]
    assert server.calls == []
    assert ada.send(f"/actions/{approved}/close", found="did_not_run", note="").status_code == 303
    assert action(house, approved).state == "failed"


def test_a_decision_of_the_copy_does_not_count_once_more(house: House, someone: Enrol) -> None:
    """One of two had approved: the second may have, since, and it ran."""
    ada, _ = someone("ada")
    bob, bobs = someone("bob", groups=["finance"])
    half = held(house, draft(house, ada.person), TWO)
    assert decide(bob, bobs, half).status_code == 303
    assert action(house, half).state == "held"
    assert restore(house) == {"uncertain": 0, "void": 1}
    assert action(house, half).state == "void"
    assert "restored from a backup" in ada.get(f"/actions/{half}").text


def test_what_nobody_decided_waits_on_and_its_page_warns(house: House, someone: Enrol) -> None:
    ada, key = someone("ada")
    waits = held(house, draft(house, ada.person), CONFIRM)
    assert "restored from a backup" not in ada.get(f"/actions/{waits}").text
    assert restore(house) == {"uncertain": 0, "void": 0}
    page = ada.get(f"/actions/{waits}").text
    assert "restored from a backup" in page.split("<aside")[0], "a phone shows its decider nothing of the aside but the buttons"
    later = held(house, draft(house, ada.person, order={**ORDER, "amount": "5.00"}), CONFIRM)
    assert "restored from a backup" not in ada.get(f"/actions/{later}").text, "it was asked after the restore"
    assert decide(ada, key, waits).status_code == 303
    assert action(house, waits).state == "approved"
