"""How long it takes until somebody looks and until it is decided."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.dialects import sqlite

from tests.clock import Clock
from tests.webapp.approvals.desk.parts import put, row
from tests.webapp.insights.parts import action
from webapp.approvals.tables import Action
from webapp.config import Settings
from webapp.db import Database
from webapp.insights import figures, gathering, jobs
from webapp.insights.figures import By, Scope, Spread
from webapp.insights.gathering import gather
from webapp.insights.tables import Gathered, Paced
from webapp.web.house import House

EVER = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def plain(database: Database, clock: Clock) -> House:
    """A house whose door nobody opens."""
    clock.now = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    settings = Settings(public_url="http://localhost:8000", database_url=database.url)
    return House(settings, database, None, clock)  # type: ignore[arg-type]


def counted(house: House, by: By, scope: Scope) -> dict[tuple[str | int, ...], tuple[Spread, Spread]]:
    with house.database.read() as session:
        return {line.key: (line.look, line.decided) for line in figures.of(session, scope, by)}


def nearest(values: list[int], share: float) -> int:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_percentiles_are_exact(plain: House) -> None:
    """Beside the plain definition (nearest rank) over a few hundred cases of some tools and hours."""
    dice, rows = random.Random(7), list[dict[str, object]]()
    for number in range(400):
        tool = f"tool_{dice.randrange(3)}"
        rows.append({
            "action": f"act_{number}", "at": EVER, "server": "bank", "tool": tool, "hour": dice.randrange(24), "owner": False,
            "look": dice.randrange(5000) if dice.random() < 0.8 else None, "decided": dice.randrange(9) or None, "state": "done",
        })

    def fill(session: object) -> None:
        session.execute(insert(Paced), rows)  # type: ignore[attr-defined]

    plain.database.write(fill)
    found = counted(plain, "tool", Scope(EVER, few=1))
    for tool in ("tool_0", "tool_1", "tool_2"):
        for at, name in enumerate(("look", "decided")):
            values = [int(str(one[name])) for one in rows if one["tool"] == tool and one[name] is not None]
            assert found["bank", tool][at] == Spread(len(values), nearest(values, 0.5), nearest(values, 0.95))
    hours = counted(plain, "hour", Scope(EVER, few=1))
    assert list(hours) == sorted(hours)
    assert sum(look.cases for look, _ in hours.values()) == sum(one["look"] is not None for one in rows)


def test_few_cases_are_counted_and_not_judged(plain: House) -> None:
    for seconds in (5, 10, 15, 20):
        action(plain.database, plain.clock(), look=seconds, decided=seconds * 2)
    assert gather(plain)
    assert counted(plain, "all", Scope(EVER, few=5)) == {("",): (Spread(4), Spread(4))}
    assert counted(plain, "all", Scope(EVER, few=4)) == {("",): (Spread(4, 10, 20), Spread(4, 20, 40))}


def test_which_look_counts_and_which_group_was_asked(plain: House) -> None:
    """One that came after the decision was too late. The owner's own word is a group of its own. Others see what their groups
    were asked."""
    now = plain.clock()
    action(plain.database, now, look=9, decided=8, group="finance")
    action(plain.database, now, look=2, by="per_ada", group="finance", asks_owner=True)
    action(plain.database, now, look=3, by="per_bob", group="ops")
    gather(plain)
    found = counted(plain, "group", Scope(EVER, few=1))
    assert {key: look for key, (look, _) in found.items()} == {
        ("finance",): Spread(1, 2, 2), ("ops",): Spread(1, 3, 3), ("",): Spread(1, 2, 2),
    }
    assert counted(plain, "group", Scope(EVER, 1, ("ops",))) == {("ops",): (Spread(1, 3, 3), Spread())}
    assert counted(plain, "all", Scope(EVER, 1, ("ops",))) == {("",): (Spread(1, 3, 3), Spread())}
    assert counted(plain, "all", Scope(EVER, 1, ())) == {}


def test_hours_are_those_of_the_policy_and_a_range_ends(plain: House) -> None:
    plain.settings.policy.zone = "Europe/Berlin"
    action(plain.database, plain.clock(), look=1)
    action(plain.database, plain.clock() - timedelta(days=8), look=1)
    gather(plain)
    week = Scope(plain.clock() - timedelta(days=7), few=1)
    assert counted(plain, "hour", week) == {(11,): (Spread(1, 1, 1), Spread())}


def test_what_changes_later_is_gathered_again(plain: House) -> None:
    """Also what was written with an earlier time than what was gathered last."""
    now = plain.clock()
    one = action(plain.database, now)
    assert gather(plain)
    assert counted(plain, "all", Scope(EVER, 1)) == {}

    def late(session: object) -> None:
        row = session.get(Action, one)  # type: ignore[attr-defined]
        row.state, row.decided_at, row.changed_at = "rejected", now + timedelta(seconds=9), now - timedelta(seconds=30)

    plain.database.write(late)
    assert gather(plain)
    assert counted(plain, "all", Scope(EVER, 1)) == {("",): (Spread(), Spread(1, 9, 9))}


def test_more_than_a_piece_is_gathered_in_pieces(plain: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PIECE", 10)
    put(plain.database, [row(plain.clock() - timedelta(hours=1), number) for number in range(11)])  # all at one moment
    assert not gather(plain, 1)
    assert gather(plain, 3)
    with plain.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Paced)) == 11
        assert session.get_one(Gathered, 1).changed_at == plain.clock() - timedelta(hours=1)


def test_what_no_range_reaches_is_forgotten(plain: House) -> None:
    old, new = plain.clock() - timedelta(days=95), plain.clock()
    action(plain.database, old, look=1)
    action(plain.database, new, look=1)
    gather(plain)
    assert jobs.forget(plain, None) == new + jobs.SELDOM  # type: ignore[arg-type]
    assert counted(plain, "all", Scope(EVER, 1)) == {("",): (Spread(1, 1, 1), Spread())}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("by", ["all", "tool", "hour"])
def test_the_figures_are_read_from_an_index_alone(plain: House, by: By) -> None:
    place = func.row_number().over(partition_by=figures._keys(by), order_by=Paced.look)
    query = select(*figures._keys(by), Paced.look, place).where(Paced.look.is_not(None), *Scope(EVER, 1).conditions())
    made = query.compile(dialect=sqlite.dialect())
    values = tuple(str(made.params[name]) for name in made.positiontup or ())
    with plain.database.engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {made}", values).fetchall()]
    assert any("COVERING INDEX ix_insight_action_figures" in line for line in plan), plan
