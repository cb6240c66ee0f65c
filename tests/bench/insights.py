"""The figures and a trial of other rules over 100,000 actions and calls, in milliseconds, on both databases:
`python -m tests.bench.insights`.

A median of five each. The page asks for four tables of times, the rules and what was regretted."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

import tests.tables  # noqa: F401 every room's tables on the metadata
from tests.bench.__main__ import say
from tests.bench.queue_page import ALL, BATCH, _action
from tests.postgres import serve
from tests.webapp.policy.parts import NOW, PERMIT, SETTINGS, call, counted, payment, rules, shipped
from webapp.approvals.judged import keeping
from webapp.approvals.judged.tables import Judged
from webapp.approvals.pace.looks import UNDECIDED
from webapp.approvals.pace.tables import Look
from webapp.approvals.tables import Action, ActionGroup
from webapp.config import Settings
from webapp.db import Base, Database
from webapp.ids import new_id
from webapp.insights import figures, regrets, replay
from webapp.insights import rules as speaking
from webapp.insights.gathering import gather
from webapp.insights.tables import RuleSpoke
from webapp.policy.engine import PolicySet, load
from webapp.web.house import House

RULE = """@id("many") @reason("m") @hold("confirm")
forbid (principal, action, resource in ToolGroup::"write") when { context.usage.calls_last_hour > 20 };"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        candidate = load([rules(Path(folder) / "rules", mine=PERMIT + RULE)], SETTINGS)
        _measured("SQLite", f"sqlite:///{Path(folder) / 'bench.sqlite'}", candidate)
        with serve() as url:
            _measured("PostgreSQL", url, candidate)


def _measured(name: str, url: str, candidate: PolicySet) -> None:
    database, now = Database(url), datetime.now(UTC)
    Base.metadata.create_all(database.engine)
    _fill(database, now)
    house = House(Settings(public_url="http://localhost:8000", database_url=url), database, None)  # type: ignore[arg-type]
    begun = time.perf_counter()
    gather(house, ALL)
    say(f"{name}: gathering all of {ALL} actions at first took {time.perf_counter() - begun:.1f} s")
    if not database.sqlite:
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    since = now - timedelta(days=90)
    for groups in (None, ("g1",)):
        scope = figures.Scope(since, 5, groups)
        for by in figures.BYS:
            whose = "of one group" if groups else "of all"
            _say(f"{name}, {whose}, {by}", database, lambda s, at=scope, by=by: figures.of(s, at, by))
    _say(f"{name}, rules", database, lambda s: speaking.of(s, (), since, 20))
    _say(f"{name}, regrets", database, lambda s: regrets.of(s, since))
    begun, spent = time.perf_counter(), time.process_time()
    found = replay.run(database, candidate, days=30, now=NOW + timedelta(seconds=1), active="")
    took, worked = time.perf_counter() - begun, time.process_time() - spent
    say(f"{name}: a trial on {found.calls} calls took {took:.1f} s, {worked:.1f} s of them on a processor")
    database.close()


def _say(what: str, database: Database, work: Callable[[Any], object]) -> None:
    taken = []
    for _ in range(5):
        with database.read() as session:
            begun = time.perf_counter()
            work(session)
            taken.append(time.perf_counter() - begun)
    say(f"{what}: {1000 * statistics.median(taken):.0f} ms")


def _fill(database: Database, now: datetime) -> None:
    """Actions a minute apart, of 17 tools, 5 servers and 6 groups; calls a second apart."""
    dice, active = random.Random(3), shipped()
    for start in range(0, ALL, BATCH):
        rows: dict[type[Base], list[dict[str, Any]]] = {
            one: [] for one in (Action, ActionGroup, Look, RuleSpoke, Judged)
        }
        for number in range(start, start + BATCH):
            at = now - timedelta(minutes=ALL - number)
            row = _action(number, now) | {
                "created_at": at, "changed_at": at, "started_at": at, "tool": f"tool_{number % 17}", "server": f"s{number % 5}",
                "asks_owner": number % 3 == 0, "decided_at": at + timedelta(seconds=dice.randrange(14_400)),
            }
            opened = at + timedelta(seconds=dice.randrange(4000))
            rows[Action].append(row)
            rows[ActionGroup].append({"action": row["id"], "name": f"g{number % 6}"})
            rows[Look].append({"action": row["id"], "person": "per_x", "opened_at": opened, "band": 0, **UNDECIDED})
            rows[RuleSpoke].append({"subject": row["id"], "rule": f"rule_{number % 30}", "verdict": "hold", "at": at})
            asked = _asked(number)
            rows[Judged].append(keeping.values(new_id("call"), asked, active.decide(asked)))
        for table, made in rows.items():
            database.write(lambda s, table=table, made=made: s.execute(insert(table), made))  # type: ignore[misc]


def _asked(number: int) -> Any:
    used = counted(calls_last_hour=number % 50)
    if number % 4 == 0:
        asked = payment(f"{1 + number % 3000}.00", usage=used)
    else:
        asked = call(cls="read" if number % 2 else "write", usage=used, tool=f"tool_{number % 20}")
    return replace(asked, now=NOW - timedelta(seconds=number), person=f"per_{number % 40}")


if __name__ == "__main__":
    main()
