"""Two approvers, the end of time and whoever runs it, in a hundred orders: nothing runs that was not approved in time."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.app_parts import hidden
from tests.conftest import Clock
from tests.webapp.approvals import signing
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, ORDER, TWO, Server, action, decide, draft, held, on_page, options
from vault.errors import KeeperError
from vault.evidence import Account
from webapp.approvals import deciding, edit_form, editing, execution, jobs, usage
from webapp.approvals.deciding import decide as give
from webapp.approvals.outcome import Editor, Handed
from webapp.approvals.seeing import open_
from webapp.config import Settings
from webapp.config_approvals import Approvals, Undo
from webapp.connections import lookup
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import CountersealError
from webapp.web.house import House

pytestmark = pytest.mark.both

PEOPLE = {"per_ada": ("user",), "per_bob": ("finance",), "per_cleo": ("finance",)}
STEPS = ("bob", "bob", "cleo", "cleo", "time", "time", "run")
"""Each approver reads and then writes; time passes and then the sweep comes; somebody runs it."""


@pytest.fixture
def signed(database: Database, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """What the log says of checkpoints is tried elsewhere."""
    monkeypatch.setattr("webapp.audit.covered", lambda *_: None)
    monkeypatch.setattr("webapp.audit.require_flowing", lambda *_: None)
    many = Approvals(held_per_person=500, held_per_server=500, quick_row=0, undo=Undo(write=0, send=0, money=0, destroy=0))
    settings = Settings(public_url="http://localhost:8000", database_url=database.url, approvals=many, instance=tmp_path)
    house = House(settings, database, signing.door(tmp_path, clock, PEOPLE), clock)
    signing.plant(house, PEOPLE)
    return house


class Decider:
    """An approver who stops between reading and writing."""

    def __init__(self, house: House, person: str, action_id: str) -> None:
        self.read, self.go, self.said = threading.Event(), threading.Event(), ""
        self.thread = threading.Thread(target=self._decide, args=(house, person, action_id))

    def _decide(self, house: House, person: str, action_id: str) -> None:
        try:
            who = signing.viewer(house, person)
            self.said = give(house, action_id, who, shown=on_page(house, action_id, who), answer=signing.ANSWER,
                             recheck=lambda *_: None)
        except (CountersealError, KeeperError) as error:
            self.said = error.code
        finally:
            self.read.set()

    def step(self) -> None:
        if self.thread.ident is None:
            self.thread.start()
            self.read.wait(60)
        else:
            self.go.set()
            self.thread.join(60)


def one(house: House, clock: Clock, order: list[str], number: int) -> tuple[str, bool, bool]:
    """The state at the end, whether it ran, and whether it may have."""
    server, made = Server(), draft(house, "per_ada", order={**ORDER, "reference": f"RE-{number}"})
    action_id = held(house, made, TWO, within=120)
    deciders = {name: Decider(house, f"per_{name}", action_id) for name in ("bob", "cleo")}
    house.door.signs.before_signing = lambda person: _stop(deciders[person.removeprefix("per_")])  # type: ignore[attr-defined]
    passed, done, may = 0, {"bob": 0, "cleo": 0}, False
    for step in order:
        if step in deciders:
            deciders[step].step()
            done[step] += passed == 0
        elif step == "time":
            clock.forward(seconds=120) if passed == 0 else jobs.expire(
                house, Due(id="x", kind="approvals.expire", key=action_id, run_at=clock(), payload={})
            )
            passed += 1
        else:
            may = done == {"bob": 2, "cleo": 2} and passed == 0
            _run(house, action_id, server)
    for decider in deciders.values():
        decider.go.set()
        decider.thread.join(60)
    return action(house, action_id).state, bool(server.calls), may


def _stop(decider: Decider) -> None:
    decider.read.set()
    decider.go.wait(60)


def _run(house: House, action_id: str, server: Server) -> None:
    try:
        execution.run(house, action_id, server, lambda *_: None)
    except (CountersealError, KeeperError):
        return


def interleaved(house: House, clock: Clock, orders: int) -> None:
    chosen, ran = random.Random(5), 0
    for number in range(orders):
        order = chosen.sample(STEPS, len(STEPS))
        if number < 5:  # the few orders in which it may run are not left to chance
            order = [*chosen.sample(STEPS[:4], 4), "run", "time", "time"]
        state, was, may = one(house, clock, order, number)
        assert was == may, (order, state)
        assert state == ("done" if may else "expired"), order
        ran += was
    assert ran >= 5


def test_two_approvers_the_end_of_time_and_a_runner_in_any_order_end_as_the_rule_says(signed: House, clock: Clock) -> None:
    interleaved(signed, clock, 16)


@pytest.mark.long
def test_a_hundred_orders_of_two_approvers_the_end_of_time_and_a_runner(signed: House, clock: Clock) -> None:
    """The same with a hundred: half a minute on both databases."""
    interleaved(signed, clock, 100)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_clock_that_is_stepped_back_and_forth_runs_nothing_late_and_revives_nothing(signed: House, clock: Clock) -> None:
    """The app's and the keeper's clock are one and are stepped together, as a time server steps a machine's."""
    chosen = random.Random(11)
    for number in range(10):
        server = Server()
        made = draft(signed, "per_ada", order={**ORDER, "reference": f"step-{number}"})
        action_id = held(signed, made, APPROVE, within=600)
        lapses, ended = action(signed, action_id).expires_at, ""
        for _ in range(8):
            clock.forward(seconds=chosen.choice([-7200, -300, -30, 30, 300, 599, 7200]))
            what = chosen.choice(["decide", "run", "expire"])
            if what == "decide":
                _quiet(lambda action_id=action_id: _decided_by_bob(signed, action_id))
            elif what == "expire":
                jobs.expire(signed, Due(id="x", kind="approvals.expire", key=action_id, run_at=clock(), payload={}))
            else:
                before = len(server.calls)
                _run(signed, action_id, server)
                assert len(server.calls) == before or clock() < lapses
            state = action(signed, action_id).state
            assert not ended or state == ended, "what ended stays as it ended"
            ended = state if state not in ("held", "approved") else ""
        assert len(server.calls) <= 1


def _quiet(work: Callable[[], Any]) -> None:
    try:
        work()
    except (CountersealError, KeeperError):
        return


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_decision_that_comes_while_it_is_executed_changes_nothing(house: House, someone: Enrol, server: Server) -> None:
    """The real keeper. The server has the call and has not answered: a rejection and a second approval come too late."""
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    seen = cleo.get(f"/actions/{held_id}")
    assert decide(bob, bob_key, held_id).status_code == 303
    sent, answer = threading.Event(), threading.Event()

    def slowly(*asked: Any) -> Any:
        sent.set()
        answer.wait(60)
        return server(*asked)

    running = threading.Thread(target=lambda: execution.run(house, held_id, slowly, server.recheck))
    running.start()
    assert sent.wait(60)
    late = cleo.send(
        f"/actions/{held_id}/decide", shown=hidden(seen, "shown"), sealed=hidden(seen, "sealed"),
        assertion=json.dumps(cleo_key.get(options(seen), origin="http://localhost:8000")),
    )
    refused = cleo.send(f"/actions/{held_id}/reject", shown=hidden(seen, "shown"), reason="Stop it.")
    assert (late.status_code, refused.status_code) == (409, 409)
    assert action(house, held_id).state == "executing"
    answer.set()
    running.join(60)
    assert (action(house, held_id).state, len(server.calls)) == ("done", 1)


# -- one order of locks (PostgreSQL) ------------------------------------------------------------------------------------

ACCOUNT: Account = {"id": "con_1", "owner": "per_ada", "provider": "harbour", "account": "acc-1", "label": "Current account"}
postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def _shown_in_a_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[str]]:
    """What it returned, or the code of what it raised."""
    said: list[str] = []

    def run() -> None:
        try:
            said.append(str(work()))
        except (CountersealError, KeeperError) as error:
            said.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, said


def _waits_for_a_lock(house: House) -> None:
    waiting, asked = time.monotonic() + 60, text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with house.database.engine.connect() as connection:
        while not connection.scalar(asked):
            assert time.monotonic() < waiting, "nobody waits"
            time.sleep(0.05)


def _decided_by_bob(house: House, action_id: str) -> str:
    bob = signing.viewer(house, "per_bob")
    return give(house, action_id, bob, shown=on_page(house, action_id, bob), answer=signing.ANSWER, recheck=lambda *_: None)


def _run_it(house: House, action_id: str) -> Callable[[], Any]:
    _decided_by_bob(house, action_id)
    return lambda: execution.run(house, action_id, Server(), lambda *_: None)


def _edit_it(house: House, action_id: str) -> Callable[[], Any]:
    handed = Handed(Server(), lambda *_: None, Editor(lambda *_: {}, lambda *_: pytest.fail("judged after it was void")))
    known = edit_form.fields({}, editing.arguments_of(open_(house, action_id)))
    typed = {name: value for one in known for name, value in ((one.name, one.text), (f"{one.name}-given", "1"))}
    changed = {**typed, next(one.name for one in known if one.argument == "reference"): '"RE-2"'}
    bob = signing.viewer(house, "per_bob")
    shown = on_page(house, action_id, bob)
    return lambda: editing.propose(house, action_id, bob, handed, shown=shown, typed=changed, why="Another reference.")


@postgresql
@pytest.mark.parametrize("begins", [_run_it, _edit_it])
def test_a_call_that_changes_recipients_never_waits_for_one_that_waits_for_it(
    signed: House, begins: Callable[[House, str], Callable[[], Any]]
) -> None:
    """Both are of one person: the call was judged, and voids what waits; the other had locked that, and was to be judged."""
    action_id = held(signed, draft(signed, "per_ada", account=ACCOUNT))
    begun = begins(signed, action_id)

    def call(session: Session) -> tuple[int, threading.Thread, list[str]]:
        usage.one_at_a_time(session, "per_ada")
        thread, said = _shown_in_a_thread(begun)
        _waits_for_a_lock(signed)
        return deciding.void_to_recipients(session, "con_1", signed.clock()), thread, said

    voided, thread, said = signed.database.write(call)
    thread.join(60)
    assert (voided, said, action(signed, action_id).state) == (1, ["conflict"], "void")


@postgresql
def test_who_decides_does_not_wait_for_an_incident_that_goes_on_to_their_actions(signed: House) -> None:
    """An incident holds the lock on a person's accounts and then locks the rows of their calls."""
    action_id = held(signed, draft(signed, "per_ada"))
    bob = signing.viewer(signed, "per_bob")
    shown = on_page(signed, action_id, bob)

    def incident(session: Session) -> list[str]:
        lookup.alone(session, "per_bob")
        thread, said = _shown_in_a_thread(
            lambda: give(signed, action_id, bob, shown=shown, answer=signing.ANSWER, recheck=lambda *_: None)
        )
        thread.join(60)
        return said

    assert signed.database.write(incident) == ["approved"]
