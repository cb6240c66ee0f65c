"""Hundreds of seeded steps of agents, deciders, a stepped clock and somebody who writes to the database; then the log is read,
and holds what the promises say: from the log and the documents alone, not from what the test believes to have done."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.conftest import Clock
from tests.webapp.approvals import signing
from tests.webapp.approvals.parts import RECEIPT, draft, on_page
from tests.webapp.gateway.test_caps import case
from vault.errors import KeeperError
from vault.evidence import Envelope, canonical, digest, excluded
from webapp.approvals import Sealer, deciding, execution, facts_document, hold, jobs
from webapp.approvals.drift import Drift, of_policy
from webapp.approvals.holding import Held
from webapp.approvals.outcome import Upstream
from webapp.approvals.payloads import open_, stored
from webapp.approvals.seeing import open_ as opened
from webapp.approvals.tables import Action
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.config_approvals import Approvals, Undo
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import CountersealError
from webapp.gateway import calling
from webapp.gateway.judging import Case, Who, judge
from webapp.policy import active
from webapp.web.house import House

PEOPLE = {
    "per_ada": ("user",), "per_dan": ("user", "finance"), "per_bob": ("finance",), "per_cleo": ("finance",), "per_eve": ("user",),
}
AMOUNTS = ("120.00", "480.00", "999.99", "1500.00", "4000.00", "9000.00")


class Run:
    """One long run. `random` chooses everything, and says so in a failure by its seed."""

    def __init__(self, house: House, seed: int) -> None:
        self.house, self.random, self.actions, self.number = house, random.Random(seed), list[str](), 0
        self.sent: list[tuple[str, str]] = []
        """Action and digest of each document that was sent."""

    def step(self) -> None:
        steps: list[tuple[Callable[[], object], int]] = [
            (self.ask, 6), (self.decide, 10), (self.reject, 1), (self.withdraw, 1), (self.expire, 1), (self.tick, 4),
            (self.run, 5), (self.forge, 1),
        ]
        what = self.random.choices([one for one, _ in steps], [weight for _, weight in steps])[0]
        try:
            what()
        except (CountersealError, KeeperError):
            return

    def ask(self) -> None:
        self.number += 1
        person = self.random.choice(["per_ada", "per_dan"])
        made = self.case(person, self.random.choice(AMOUNTS), self.random.choice("RST"), self.number)
        room: Any = SimpleNamespace(house=self.house)
        caller: Any = SimpleNamespace(caller=SimpleNamespace(client="cli_1", client_verified=False, person=person, grant="grt_1"))
        found = self.house.database.write(lambda s: calling._admit_held(s, room, caller, made, self.storing(made, person)))
        if isinstance(found, Held):
            self.actions.append(found.action_id)

    def case(self, person: str, amount: str, to: str, number: int) -> Case:
        who = Who(person, PEOPLE[person], "cli_1", False, "grt_1")
        return replace(case(self.house, "money", amount, number, to), who=who)

    def storing(self, made: Case, person: str) -> Any:
        def store(session: Session, verdict: Any, used: Any) -> Held:
            shown = replace(
                draft(self.house, person), arguments=made.arguments, facts=facts_document(made.facts, used),
                tool={"name": "pay", "pin": "p", "title": "Pay", "cls": "money"},
            )
            return hold(session, draft=shown, verdict=verdict, sealer=Sealer(signing.KEY), settings=self.house.settings.approvals,
                        now=self.house.clock())

        return store

    def one(self) -> str:
        """Mostly one of the last few, sometimes any."""
        return self.random.choice(self.actions[-6:] if self.random.random() < 0.8 else self.actions) if self.actions else "none"

    def decide(self) -> None:
        action, person = self.one(), self.random.choice(list(PEOPLE))
        who = signing.viewer(self.house, person)
        shown = on_page(self.house, action, who)
        deciding.decide(self.house, action, who, shown=shown, answer=signing.ANSWER, recheck=self.recheck)

    def reject(self) -> None:
        action, who = self.one(), signing.viewer(self.house, self.random.choice(list(PEOPLE)))
        deciding.reject(self.house, action, who, shown=opened(self.house, action).document.digest, reason="No.")

    def withdraw(self) -> None:
        deciding.withdraw(self.house, self.one(), signing.viewer(self.house, self.random.choice(list(PEOPLE))))

    def expire(self) -> None:
        for action in self.actions[-20:]:
            jobs.expire(self.house, Due(id="x", kind="approvals.expire", key=action, run_at=self.house.clock(), payload={}))

    def tick(self) -> None:
        self.house.clock.forward(seconds=self.random.choice([1, 5, 30, 60, 300, 1000, 5000, -5, -100]))  # type: ignore[attr-defined]

    def run(self) -> None:
        with self.house.database.read() as session:
            ready = session.scalars(select(Action.id).where(Action.state == "approved").order_by(Action.id)).all()
        action = self.random.choice(ready) if ready and self.random.random() < 0.8 else self.one()
        execution.run(self.house, action, self.executor, self.recheck)

    def executor(self, envelope: Envelope, _token: object, action: str) -> Upstream:
        self.sent.append((action, digest(canonical(envelope))))
        return self.random.choice([
            Upstream("answered", RECEIPT), Upstream("answered", RECEIPT), Upstream("refused", error="no."), Upstream("unknown"),
        ])

    def recheck(self, session: Session, envelope: Envelope, now: datetime) -> Drift | None:
        arguments = envelope["arguments"]
        made = self.case(envelope["principal"]["person"], arguments["amount"], arguments["to"], int(arguments["number"]))
        rules = active.current(self.house, session)
        verdict, _ = judge(session, rules, made, now, excluding=envelope["action"])
        return of_policy(envelope, verdict, rules.digest)

    def forge(self) -> None:
        """Whoever writes to the database sets a state, and has it run."""
        values = {"state": "approved", "run": None, "run_by": None, "ended_at": None, "runs_at": None}
        action = self.one()
        self.house.database.write(lambda s: s.execute(update(Action).where(Action.id == action).values(**values)))
        execution.run(self.house, action, self.executor, self.recheck)


def read(run: Run) -> tuple[list[dict[str, Any]], dict[str, Envelope], dict[str, list[Any]]]:
    """The log in its order; each action's document, and the statements on it, as signed."""
    with run.house.database.read() as session:
        log = [json.loads(row.body) for row in session.scalars(select(Entry).order_by(Entry.id))]
        rows = {action: stored(session, action, "request") for action in run.actions}
    held = {one["subject"]: one["detail"]["digest"] for one in log if one["kind"] == "action.held"}
    documents: dict[str, Envelope] = {
        action: json.loads(open_(run.house, row, digest=held[action])) for action, row in rows.items() if row is not None
    }
    return log, documents, {action: [one for one in log if one["subject"] == action] for action in run.actions}


def check(run: Run) -> int:
    """How many were executed."""
    log, documents, of = read(run)
    executed = [one for one in log if one["kind"] == "action.executing"]
    assert [action for action, _ in run.sent] == [one["subject"] for one in executed], "what was sent is what the log has"
    assert len({one["subject"] for one in executed}) == len(executed), "no replay"
    for entry, (action, sent) in zip(executed, run.sent, strict=True):
        document, before = documents[action], [one for one in of[action] if one["id"] < entry["id"]]
        assert sent == digest(canonical(document)) == entry["detail"]["digest"], "exact binding"
        kinds = [one["kind"] for one in before]
        assert kinds.count("action.approved") == 1, "no execution without approval"
        assert not {"action.rejected", "action.expired", "action.withdrawn", "action.void"} & set(kinds), "none after a denial"
        decided = [one for one in before if one["kind"] == "action.decided"]
        assert all(one["detail"]["digest"] == sent for one in decided)
        assert all(one["detail"]["verdict"] != "reject" for one in decided)
        assert datetime.fromisoformat(entry["at"]) < datetime.fromisoformat(document["expires_at"]), "no use after expiry"
        met(document, decided)
    everyone = [one for one in log if one["kind"] == "action.decided" and one["detail"]["verdict"] == "approve"]
    for one in everyone:
        person = one["actor"].removeprefix("person:")
        assert person not in excluded(documents[one["subject"]]), "no decision by someone whom the rule excludes"
        assert "finance" in PEOPLE[person]
    capped(run, executed, documents)
    return len(executed)


def met(document: Envelope, decided: list[dict[str, Any]]) -> None:
    for need in document["requirement"]:
        wanted = "confirm" if need["kind"] == "confirm" else "approve"
        by = {one["actor"].removeprefix("person:") for one in decided if one["detail"]["verdict"] == wanted}
        assert len(by) >= need["quorum"], (need, decided)
        assert wanted == "approve" or by == {document["principal"]["person"]}


def capped(run: Run, executed: list[dict[str, Any]], documents: dict[str, Envelope]) -> None:
    """What ran in any 24 hours up to an execution, without what is proven not to have run, is within the shipped limits."""
    with run.house.database.read() as session:
        refused = set(session.scalars(select(Action.id).where(Action.state == "failed", Action.reason == "no.")))
    ran = [
        (datetime.fromisoformat(one["at"]), documents[one["subject"]]) for one in executed if one["subject"] not in refused
    ]
    for at, document in ran:
        window = [each for when, each in ran if at - timedelta(days=1) < when <= at]
        mine = [each for each in window if each["principal"]["person"] == document["principal"]["person"]]
        same = [each for each in mine if each["facts"]["recipient"]["value"] == document["facts"]["recipient"]["value"]]
        assert sum(each["facts"]["amount"]["base_minor"] for each in mine) <= 5_000_000, "no cap exceeded"
        assert sum(each["facts"]["amount"]["base_minor"] for each in same) <= 2_000_000, "no cap exceeded"


@pytest.fixture
def house(database: Database, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """What the log says of checkpoints is tried elsewhere."""
    monkeypatch.setattr("webapp.audit.covered", lambda *_: None)
    monkeypatch.setattr("webapp.audit.require_flowing", lambda *_: None)
    many = Approvals(held_per_person=500, held_per_server=500, quick_row=0, undo=Undo(write=0, send=0, money=0, destroy=0))
    settings = Settings(public_url="http://localhost:8000", database_url=database.url, approvals=many, instance=tmp_path)
    made = House(settings, database, signing.door(tmp_path, clock, PEOPLE), clock)
    active.at_start(made)
    signing.plant(made, PEOPLE)
    return made


def through(house: House, seed: int, steps: int) -> int:
    run = Run(house, seed)
    for _ in range(steps):
        run.step()
    return check(run)


def test_after_a_long_run_the_log_holds_what_is_promised(house: House) -> None:
    assert through(house, 20, 150) > 3


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_after_a_far_longer_run_the_log_holds_what_is_promised(house: House, seed: int) -> None:
    """Eight hundred steps, several times on both databases: minutes."""
    assert through(house, seed, 800) > 10
