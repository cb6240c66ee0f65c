"""Execution: once, whatever dies; and what became of it is told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, serve
from tests.vault.accounts import connected
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, Server, action, again, decide, draft, forge, held
from vault.errors import VaultAway, VaultSealed
from vault.evidence import Account
from webapp.approvals import Upstream, execution, jobs, snapshot
from webapp.approvals.tables import KnownRecipient, Payload, Usage
from webapp.audit.tables import Entry
from webapp.broker.tables import Lease
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.web.house import House

pytestmark = pytest.mark.both

ROOT = Path(__file__).resolve().parents[3]


def run(house: House, action_id: str, server: Server) -> str:
    return execution.run(house, action_id, server, server.recheck).state


def row(kind: str, action_id: str, house: House) -> Due:
    return Due(id="x", kind=kind, key=action_id, run_at=house.clock(), payload={}, attempts=0)


def confirmed(house: House, someone: Enrol, **more: str) -> str:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person, **more), CONFIRM)
    assert decide(ada, key, held_id).status_code == 303
    return held_id


def test_what_is_sent_is_what_was_shown(house: House, someone: Enrol, server: Server) -> None:
    held_id = confirmed(house, someone)
    run(house, held_id, server)
    assert server.calls[0][1]["arguments"]["amount"] == "480.00"
    assert server.calls[0][1]["action"] == held_id


def test_no_answer_is_uncertain_is_never_sent_again_and_refuses_its_like(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    made = draft(house, ada.person)
    held_id = held(house, made, CONFIRM)
    decide(ada, key, held_id)
    server.answer = Upstream("unknown", error="the connection broke")
    assert run(house, held_id, server) == "uncertain"
    found = again(house, made)
    assert found is not None
    assert (found.action_id, found.what) == (held_id, "refuse")
    with pytest.raises(Conflict):
        run(house, held_id, server)
    assert len(server.calls) == 1
    done = ada.send(f"/actions/{held_id}/close", found="did_not_run", note="Not in the bank's list.")
    assert done.status_code == 303
    assert action(house, held_id).state == "failed"
    assert "Not in the bank's list." in snapshot(house, held_id).status_message


def test_proof_that_nothing_ran_gives_the_cap_back_and_an_error_does_not(house: House, someone: Enrol, server: Server) -> None:
    ada, key = someone("ada")
    for number, (answer, left) in enumerate([
        (Upstream("refused", error="the server cannot be reached"), "released"),
        (Upstream("answered", {"content": [], "isError": True}), "committed"),
    ]):
        held_id = held(house, draft(house, ada.person, order={"amount": f"{number + 1}.00", "currency": "EUR"}), CONFIRM)
        decide(ada, key, held_id)
        server.answer = answer
        assert run(house, held_id, server) == "failed"
        with house.database.read() as session:
            assert session.scalars(select(Usage.state).where(Usage.action == held_id)).one() == left


def test_an_executor_that_fails_leaves_it_uncertain_and_says_so(house: House, someone: Enrol, server: Server) -> None:
    held_id = confirmed(house, someone)

    def broken(*_: object) -> Upstream:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        execution.run(house, held_id, broken, server.recheck)
    assert action(house, held_id).state == "uncertain"


def test_silence_is_uncertain_and_a_heartbeat_is_not(house: House, someone: Enrol, server: Server, clock: Clock) -> None:
    held_id = confirmed(house, someone)
    forge(house, held_id, state="executing", run="run_1", started_at=clock(), heartbeat_at=clock())
    clock.forward(seconds=20)
    forge(house, held_id, heartbeat_at=clock())
    clock.forward(seconds=20)
    assert jobs.sweep(house, row("approvals.sweep", held_id, house)) is not None
    assert action(house, held_id).state == "executing"
    clock.forward(seconds=10)
    assert jobs.sweep(house, row("approvals.sweep", held_id, house)) is None
    assert action(house, held_id).state == "uncertain"


def test_an_answer_that_comes_after_the_sweep_is_still_the_answer(house: House, someone: Enrol, server: Server) -> None:
    held_id = confirmed(house, someone)

    def late(envelope: object, token: object, action_id: str) -> Upstream:
        forge(house, action_id, state="uncertain")
        return server(envelope, token, action_id)  # type: ignore[arg-type]

    assert execution.run(house, held_id, late, server.recheck).state == "done"


def test_an_approval_that_nobody_picks_up_lapses_and_both_sides_see_it(
    house: House, someone: Enrol, server: Server, clock: Clock
) -> None:
    ada, key = someone("ada")
    made = draft(house, ada.person)
    held_id = held(house, made, CONFIRM)
    decide(ada, key, held_id)
    clock.forward(minutes=14)
    assert jobs.expire(house, row("approvals.expire", held_id, house)) is not None
    clock.forward(minutes=2)
    jobs.expire(house, row("approvals.expire", held_id, house))
    assert action(house, held_id).state == "expired"
    found = again(house, made)
    assert found is not None
    assert (found.action_id, found.what) == (held_id, "answer")
    with pytest.raises(Conflict):
        run(house, held_id, server)


def test_an_approval_is_not_run_late_even_if_no_job_came_by(house: House, someone: Enrol, server: Server, clock: Clock) -> None:
    held_id = confirmed(house, someone)
    clock.forward(minutes=16)
    assert run(house, held_id, server) == "expired"
    assert server.calls == []


def test_a_state_that_was_written_after_it_lapsed_runs_nothing(
    house: House, someone: Enrol, server: Server, clock: Clock
) -> None:
    """Attack: whoever writes to the database says that what nobody decided on is approved, and for long yet."""
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    clock.forward(hours=25)
    forge(house, held_id, state="approved", run=None, run_by=None, expires_at=clock() + timedelta(days=1))
    assert run(house, held_id, server) == "expired"
    assert server.calls == []


def test_a_task_is_run_by_the_worker(house: House, someone: Enrol, server: Server) -> None:
    held_id = confirmed(house, someone, runs="approval")
    with house.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == "approvals.run", Due.key == held_id)).one()
    assert jobs.handlers(server.handed)["approvals.run"](house, due) is None
    assert action(house, held_id).state == "done"
    assert jobs.handlers(server.handed)["approvals.run"](house, due) is None
    assert len(server.calls) == 1


def test_a_result_is_sealed_is_delivered_and_goes_after_its_time(house: House, someone: Enrol, server: Server) -> None:
    held_id = confirmed(house, someone)
    run(house, held_id, server)
    with house.database.read() as session:
        sealed = session.scalars(select(Payload).where(Payload.action == held_id, Payload.direction == "result")).one()
    assert b"HB-1" not in sealed.ciphertext
    house.database.write(lambda s: execution.delivered(s, held_id, house.clock()))
    assert action(house, held_id).delivered_at == house.clock()
    jobs.clean(house, row("approvals.clean", held_id, house))
    found = snapshot(house, held_id)
    assert found.outcome is not None
    assert found.outcome.result is None
    assert "not kept" in found.outcome.error


def test_a_vault_that_is_sealed_costs_no_approval(house: House, someone: Enrol, server: Server, keeper: KeeperParts) -> None:
    held_id = confirmed(house, someone)
    keeper.stop_vault()
    with pytest.raises((VaultAway, VaultSealed)):
        run(house, held_id, server)
    assert action(house, held_id).state == "approved"
    keeper.start_vault()
    assert run(house, held_id, server) == "done"


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as made:
        yield made


def account(house: House, keeper: KeeperParts, provider: Scripted, person: str) -> Account:
    """A really connected account at a small bank."""
    inside = keeper.inside()
    connection = connected(inside, provider, person=person)
    state = house.door.connection(connection)
    inside.vault.wire.close()
    now = house.clock()
    house.database.write(lambda s: s.add(Connection(
        id=connection, person=person, provider="harbour", account=state.account, label=state.label, scopes=list(state.scopes),
        status="active", reason="", created_at=now, connected_at=now,
    )))
    return {"id": connection, "owner": person, "provider": "harbour", "account": state.account, "label": state.label}


def test_a_money_token_is_minted_on_the_statements_once_and_only_for_the_account_shown(
    house: House, someone: Enrol, server: Server, keeper: KeeperParts, provider: Scripted
) -> None:
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    shown = account(house, keeper, provider, ada.person)
    held_id = held(house, draft(house, ada.person, account=shown, scopes=("payments:send",)), APPROVE)
    decide(bob, bob_key, held_id)
    assert run(house, held_id, server) == "done"
    assert server.calls[0][2]
    with house.database.read() as session:
        lease = session.scalars(select(Lease).where(Lease.action == held_id)).one()
    assert (lease.exclusive, lease.state, lease.outcome) == (True, "closed", "done")
    forge(house, held_id, state="approved", run=None)
    assert run(house, held_id, server) == "void"
    house.database.write(lambda s: s.execute(delete(Entry).where(Entry.subject == held_id, Entry.kind.in_(execution.OVER))))
    forge(house, held_id, state="approved", run=None)
    assert run(house, held_id, server) == "failed"
    assert len(server.calls) == 1
    changed = {**shown, "account": "acc-other"}
    other = held(house, draft(house, ada.person, account=changed, order={"amount": "2.00", "currency": "EUR"}), APPROVE)
    decide(bob, bob_key, other)
    assert run(house, other, server) == "void"


def test_what_was_done_makes_its_recipient_known_up_to_its_amount(house: House, someone: Enrol, server: Server) -> None:
    held_id = confirmed(house, someone)
    with house.database.read() as session:
        assert session.scalars(select(KnownRecipient)).all() == []
    run(house, held_id, server)
    with house.database.read() as session:
        known = session.scalars(select(KnownRecipient)).one()
    assert (known.times, known.up_to_base_minor) == (1, 48000)


KILLED = """
import os, sys, time
from datetime import datetime, timezone
from pathlib import Path
from vault.door import Door
from webapp.approvals import Upstream, execution
from webapp.config import Settings
from webapp.db import Database
from webapp.web.house import House
url, socket, action, heard, before = sys.argv[1:]
settings = Settings(public_url="http://localhost:8000", database_url=url)
house = House(settings, Database(url), Door(Path(socket)))
def executor(envelope, token, action_id):
    if before == "before":
        Path(heard + ".reached").touch(); time.sleep(600)
    with open(heard, "a") as upstream:
        upstream.write(action_id + "\\n")
    Path(heard + ".reached").touch(); time.sleep(600)
execution.run(house, action, executor, lambda session, envelope, now: None)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_while_it_runs_leaves_it_uncertain_and_sent_at_most_once(
    house: House, someone: Enrol, server: Server, clock: Clock, tmp_path: Path, when: str
) -> None:
    ada, key = someone("ada")
    made = draft(house, ada.person)
    held_id = held(house, made, CONFIRM)
    decide(ada, key, held_id)
    heard = tmp_path / "heard"
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED, house.database.url, str(house.door.socket), held_id, str(heard), when], cwd=ROOT
    )
    reached = tmp_path / "heard.reached"
    for _ in range(2400):
        if reached.exists() or worker.poll() is not None:
            break
        time.sleep(0.05)
    assert reached.exists(), worker.returncode
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert action(house, held_id).state == "executing"
    with pytest.raises(Conflict):
        run(house, held_id, server)
    clock.forward(minutes=10)  # the other process has a clock of its own
    jobs.sweep(house, row("approvals.sweep", held_id, house))
    assert action(house, held_id).state == "uncertain"
    found = again(house, made)
    assert found is not None
    assert found.what == "refuse"
    assert server.calls == []
    assert heard.exists() == (when == "after")
    if when == "after":
        assert heard.read_text().count(held_id) == 1
