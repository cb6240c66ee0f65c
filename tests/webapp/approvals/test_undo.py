"""What was approved can be stopped for a while, and nothing runs it before: not the app, not the keeper, whatever a row says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tests.conftest import Clock
from tests.keeper_parts import until
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, TWO, Server, action, decide, draft, forge, held
from vault.door import Evidence
from vault.errors import NotApproved
from webapp.approvals import execution, jobs, snapshot, wait
from webapp.approvals.execution import NotYet
from webapp.approvals.seeing import open_
from webapp.approvals.undo import STOPPED
from webapp.config import Settings
from webapp.config_approvals import Approvals, Undo
from webapp.db.due import Due
from webapp.web.house import House

pytestmark = pytest.mark.both


def with_undo(house: House, seconds: int) -> House:
    """Also one that settings refuse because it is too short for people: a test does not wait for ten seconds."""
    undo = Undo().model_copy(update={"money": seconds})
    return replace(house, settings=house.settings.model_copy(update={"approvals": Approvals(undo=undo)}))


def approved(house: House, someone: Enrol, seconds: int, **more: Any) -> str:
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])
    held_id = held(with_undo(house, seconds), draft(house, ada.person, **more))
    assert decide(*bob, held_id).status_code == 303
    return held_id


def run(house: House, held_id: str, server: Server) -> str:
    return execution.run(house, held_id, server, server.recheck).state


def task(held_id: str, house: House) -> Due:
    return Due(id="x", kind="approvals.run", key=held_id, run_at=house.clock(), payload={}, attempts=0)


def spend(house: House, held_id: str) -> None:
    opened = open_(house, held_id)
    house.door.spend(receiver="bank", evidence=Evidence(opened.document.raw, opened.verified.statements))


def test_nothing_runs_it_before_its_time_and_then_once(house: House, someone: Enrol, server: Server, clock: Clock) -> None:
    held_id = approved(house, someone, 1, runs="approval")
    row = action(house, held_id)
    assert row.runs_at is not None
    assert row.run_by is not None
    assert row.run_by - row.runs_at == timedelta(seconds=900), "who picks it up has their time from then"
    forge(house, held_id, runs_at=None)
    assert jobs.run_task(house, task(held_id, house), server.handed) == row.runs_at, "the worker comes back then"
    assert action(house, held_id).runs_at == row.runs_at, "whoever waits is told"
    assert "unless somebody stops it" in snapshot(house, held_id).status_message
    clock.now = row.runs_at
    assert wait(house, held_id, 0).state == "approved"
    until(lambda: house.door.status().now >= row.runs_at, "the keeper's clock says so too", 10)  # type: ignore[operator]
    assert jobs.run_task(house, task(held_id, house), server.handed) is None
    assert [one[0] for one in server.calls] == [held_id]
    assert snapshot(house, held_id).state == "done"


def test_a_clock_ahead_of_the_keepers_shortens_nothing(house: House, someone: Enrol, server: Server, clock: Clock) -> None:
    """Attack or accident: the app's clock is stepped forward. The action is neither run nor lost; the keeper would refuse it."""
    held_id = approved(house, someone, 60)
    with pytest.raises(NotApproved):
        spend(house, held_id)
    clock.forward(seconds=62)
    with pytest.raises(NotYet) as refused:
        run(house, held_id, server)
    assert refused.value.at > clock(), "told when to come back, by a clock that is ahead as much as ours"
    assert action(house, held_id).state == "approved"
    clock.forward(seconds=-300)
    with pytest.raises(NotYet):
        run(house, held_id, server)
    assert not server.calls


def test_whoever_may_reject_stops_it_with_one_button(house: House, someone: Enrol, server: Server) -> None:
    ada, bob, cleo = someone("ada")[0], someone("bob", groups=["finance"]), someone("cleo", groups=["finance"])[0]
    eve = someone("eve")[0]
    held_id = held(with_undo(house, 60), draft(house, ada.person))
    assert "For 60 seconds after the last word it can still be stopped." in bob[0].get(f"/actions/{held_id}").text
    shown = open_(house, held_id).document.digest
    assert cleo.send(f"/actions/{held_id}/stop", shown=shown).status_code == 409, "not yet approved: that is a rejection"
    decide(*bob, held_id)
    for viewer in (ada, cleo):
        page = viewer.get(f"/actions/{held_id}").text
        assert f'action="/actions/{held_id}/stop"' in page
        assert "data-runs>in " in page
    assert eve.send(f"/actions/{held_id}/stop", shown=shown).status_code == 404
    assert cleo.send(f"/actions/{held_id}/stop", shown="0" * 64).status_code == 409
    assert cleo.send(f"/actions/{held_id}/stop", shown=shown).status_code == 303
    assert (action(house, held_id).state, action(house, held_id).reason) == ("rejected", STOPPED)
    forge(house, held_id, state="approved", runs_at=None)
    with pytest.raises(NotApproved):
        spend(house, held_id)
    assert run(house, held_id, server) == "void"
    assert not server.calls


def test_whose_it_is_stops_it_too(house: House, someone: Enrol) -> None:
    ada, bob = someone("ada"), someone("bob", groups=["finance"])
    theirs = held(with_undo(house, 60), draft(house, ada[0].person))
    decide(*bob, theirs)
    assert ada[0].send(f"/actions/{theirs}/stop").status_code == 303
    assert action(house, theirs).state == "withdrawn"
    own = held(with_undo(house, 60), draft(house, ada[0].person, grant="grt_2"), CONFIRM)
    decide(*ada, own)
    page = ada[0].get(f"/actions/{own}")
    assert "Until then it can be stopped." in page.text
    shown = open_(house, own).document.digest
    assert ada[0].send(f"/actions/{own}/stop", shown=shown).status_code == 303
    assert action(house, own).state == "rejected", "a signed no, which the keeper remembers"


def test_a_word_that_comes_so_late_that_it_could_never_run_is_refused(house: House, someone: Enrol) -> None:
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])
    late = held(with_undo(house, 60), draft(house, ada.person), APPROVE, within=45)
    page = bob[0].get(f"/actions/{late}")
    assert "lapses before it could run" in page.text
    assert "data-options" not in page.text


def test_how_long_is_the_rules_word_or_else_the_classes(house: House, someone: Enrol) -> None:
    ada = someone("ada")[0]
    assert open_(house, held(with_undo(house, 30), draft(house, ada.person), TWO)).document.undo == 30
    assert Undo().of("money") == Undo().of("destroy") == Undo().of("nobody classified") == 30
    assert (Undo().of("send"), Undo().of("write"), Undo().of("read")) == (10, 10, 0)
    with pytest.raises(ValidationError):
        Undo(money=61)
    assert Undo(money=0, write=10).of("money") == 0, "who runs the instance may want none"
    for cls in ("read", "write", "send", "money", "destroy"):
        with pytest.raises(ValidationError, match="10 to 60 seconds, or 0 for none"):
            Undo.model_validate({cls: 9})


def test_a_demonstration_shows_the_window_and_is_brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in ("WRITE", "SEND", "MONEY", "DESTROY"):
        monkeypatch.delenv(f"COUNTERSEAL_APPROVALS__UNDO__{cls}")
    assert Settings().approvals.undo == Undo()
    assert Settings(evaluation=True).approvals.undo.of("money") == 10
    assert Settings(evaluation=True, approvals=Approvals(undo=Undo(money=0))).approvals.undo.of("money") == 0
