"""Limits of calls and money: counted in the transaction that allows or holds, never exceeded, given back when nothing ran."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.conftest import Clock
from tests.webapp.approvals.parts import draft
from vault.door import Door, WrappingKey
from vault.secret import Secret
from webapp.approvals import Sealer, hold, usage
from webapp.approvals.holding import Held
from webapp.approvals.jobs import expire
from webapp.approvals.tables import Action, Usage
from webapp.approvals.usage import Used
from webapp.canonical import canonical, parse
from webapp.config import Settings
from webapp.config_approvals import Approvals
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import Unavailable
from webapp.gateway import calling
from webapp.gateway.judging import Case, Who
from webapp.policy import active, counters, facts
from webapp.policy.calls import Deny
from webapp.policy.calls import Hold as Verdict
from webapp.registry.pins import PinnedTool
from webapp.web.house import House

POINTERS = {
    "amount": {"pointer": "/amount", "unit": "major"}, "currency": {"is": "EUR"}, "recipient": {"pointer": "/to", "kind": "text"},
}
AT_ONCE = 200


@pytest.fixture
def house(database: Database, clock: Clock, tmp_path: Path) -> House:
    many = Approvals(held_per_person=500, held_per_server=500)
    settings = Settings(public_url="http://localhost:8000", database_url=database.url, approvals=many, instance=tmp_path)
    made = House(settings, database, Door(tmp_path / "none.sock"), clock)
    active.at_start(made)
    return made


def case(house: House, cls: str, amount: str, number: int = 0, to: str = "Nordlicht") -> Case:
    arguments = parse(json.dumps({"amount": amount, "to": to, "number": number}).encode())
    pin = PinnedTool(
        server_id="srv", server="bank", server_title="Bank", url="http://127.0.0.1:1/mcp", tool="pay", title="Pay",
        description={}, input_schema={"type": "object"}, cls=cls, pointers=POINTERS, changes_recipients=False, credential=None,
        pin="p", manifest="m",
    )
    who = Who("per_ada", ("user",), "cli_1", False, "grt_1")
    read = facts.read(POINTERS, arguments, house.settings.policy, cls=cls)
    return Case(who, pin, arguments, canonical(arguments), read, None)


def asked() -> Any:
    return SimpleNamespace(caller=SimpleNamespace(client="cli_1", client_verified=False, person="per_ada", grant="grt_1"))


def at_once(work: Any) -> list[Any]:
    """Two hundred of it, begun together. Who waited for the others for too long is told so, and asks again."""
    gate, results = threading.Barrier(AT_ONCE), [None] * AT_ONCE

    def one(number: int) -> None:
        gate.wait()
        for _ in range(10):
            with suppress(Unavailable):
                results[number] = work(number)
                return

    threads = [threading.Thread(target=one, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def total(house: House) -> int:
    with house.database.read() as session:
        return int(session.scalar(select(func.sum(Usage.base_minor)).where(Usage.state != "released")) or 0)


def test_two_hundred_allowed_calls_at_once_never_pass_a_limit(house: House) -> None:
    """Each alone is far below the shipped 50,000.00 a day of one person, to whom nobody sends as much as to make another limit
    speak; all together are not."""
    room: Any = SimpleNamespace(house=house)
    cases = [case(house, "read", "260.00", number, f"Payee {number}") for number in range(AT_ONCE)]
    found = at_once(lambda number: house.database.commit(lambda s: calling._admit(s, room, asked(), cases[number])))
    allowed = [one for one in found if isinstance(one, calling.Allowed)]
    assert len(allowed) == 50_000 // 260
    assert all("50,000.00" in one.reason for one in found if isinstance(one, Deny))
    assert len(allowed) + sum(isinstance(one, Deny) for one in found) == AT_ONCE
    assert total(house) == 26_000 * len(allowed) <= 5_000_000


def test_two_hundred_held_calls_at_once_reserve_no_more_than_a_limit(house: House, clock: Clock) -> None:
    """What waits for people counts from the moment in which it was judged; what lapses is given back."""
    room: Any = SimpleNamespace(house=house)
    key = Sealer(WrappingKey("vault:v1:test", Secret(AESGCM.generate_key(256))))
    made = draft(house, "per_ada")

    def storing(number: int) -> Any:
        def store(session: Session, verdict: Verdict, used: Used) -> Held:
            amount = {"status": "ok", "minor": 26_000, "currency": "EUR", "base_minor": 26_000}
            recipient = {"value": "Nordlicht", "text": "Nordlicht", "kind": "text"}
            shown = {"amount": amount, "recipient": recipient, "usage": used.document()}
            one = replace(made, arguments=cases[number].arguments, facts=shown, server={**made.server, "name": "bank"})
            return hold(session, draft=one, verdict=verdict, sealer=key, settings=house.settings.approvals, now=house.clock())

        return store

    cases = [case(house, "money", "260.00", number) for number in range(AT_ONCE)]
    found = at_once(lambda number: house.database.write(
        lambda s: calling._admit_held(s, room, asked(), cases[number], storing(number))
    ))
    stored = [one.action_id for one in found if isinstance(one, Held)]
    assert len(stored) == 20_000 // 260
    assert total(house) == 26_000 * len(stored) <= 2_000_000
    clock.forward(hours=5)
    for action_id in stored[:2]:
        expire(house, Due(id="x", kind="approvals.expire", key=action_id, run_at=clock(), payload={}))
    assert total(house) == 26_000 * (len(stored) - 2)
    with house.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Action)) == len(stored)


def test_each_counter_counts_its_own_subject_in_its_own_window(house: House, clock: Clock) -> None:
    one = usage.Call("per_ada", "con_1", "cli_1", "bank", "pay", recipient="r", base_minor=1)
    others = {
        "": replace(one, person="per_bob", connection="con_9"), "agent_": replace(one, client="cli_2"),
        "account_": replace(one, connection="con_2"), "recipient_": replace(one, recipient="other"),
        "tool_": replace(one, tool="refund"),
    }
    ages = {"hour": 0.5, "day": 2, "week": 30, "month": 200, "": 800}
    now = clock()
    for each in (one, *others.values()):
        for hours in ages.values():
            house.database.write(lambda s, each=each, hours=hours: usage.record(s, each, now - timedelta(hours=hours)))
    with house.database.read() as session:
        found = usage.facts(session, one, now, wanted=counters.ALL).counts
        empty = usage.facts(session, usage.Call("per_ada", None, "cli_1", "bank", "pay"), now, wanted=counters.ALL).counts
    for name, counter in counters.COUNTERS.items():
        within = 1 + list(ages).index(counter.window)
        whose = sum(subject not in ("", counter.subject) or (counter.subject == "" and subject != "") for subject in others)
        assert found[name] == within * (1 + whose), name
        assert not name.startswith(("account_", "recipient_")) or empty[name] == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_counter_is_answered_from_an_index_alone(house: House) -> None:
    with house.database.read() as session:
        for (subject, kind), pair in usage.COUNTED.items():
            compiled = pair[0].on(session.connection().dialect)
            given = {"person": "p", "connection": "c", "recipient": "r", "client": "c", "server": "s", "tool": "t",
                     "since": house.clock()}
            values = compiled.arguments(given)
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled.sql}", tuple(values)).all()
            assert "USING COVERING INDEX ix_usage" in str(plan), (subject, kind, plan)
