"""How approvers decide, as admins see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from tests.app_parts import People
from webapp.approvals.pace import quality
from webapp.approvals.pace.quality import Approver, gathered
from webapp.approvals.pace.rules import place
from webapp.approvals.pace.tables import Look
from webapp.db import Database
from webapp.web.house import House


def plant(house: House, person: str, count: int, **values: Any) -> None:
    at = values.pop("at", house.clock())
    row = {
        "person": person, "opened_at": at, "decided_at": at, "verdict": "approve", "seconds": 4, "band": 1, "quick": True,
        "streak": 1, "asked": False, "missed": 0, **values,
    }
    row["place"] = place(row["seconds"])
    rows = [{**row, "action": f"{person}-{sorted(values.items())}-{number}"} for number in range(count)]
    house.database.write(lambda s: s.execute(insert(Look), rows))


def figures(house: House) -> quality.Quality:
    with house.database.read() as session:
        return quality.of(session, house.settings.approvals, house.clock())


def test_what_is_counted_and_what_is_not(house: House) -> None:
    """Own confirmations, those who decide seldom and what is long ago are no one's approvals here."""
    plant(house, "per_bob", 9, streak=7, asked=True, missed=2)
    plant(house, "per_bob", 3, verdict="reject", seconds=200, band=4, quick=False)
    plant(house, "per_bob", 30, verdict="confirm")
    plant(house, "per_bob", 50, seconds=1, at=house.clock() - timedelta(days=91))
    plant(house, "per_cleo", 9)
    found = figures(house)
    assert found.few == 1
    [bob] = found.approvers
    assert (bob.approved, bob.rejected, bob.share_rejected) == (9, 3, 25)
    assert (bob.streak, bob.asked, bob.missed) == (7, 9, 18)
    assert [bob.median(band) for band in range(5)] == ["", "2 to 5 s", "", "", "over 2 min"]
    assert [bob.in_time(place) for place in range(7)] == [0, 75, 0, 0, 0, 25, 0]


def test_a_median_is_the_middle_and_of_two_it_is_none() -> None:
    def one(*times: int) -> Approver:
        return gathered([("p", "approve", 0, time, 1, 0, 0, 0) for time in times])[0]

    assert one(0, 3).median(0) == ""
    assert one(0, 3, 5).median(0) == "10 to 30 s"
    assert one(0, 0, 0, 5, 5).median(0) == "under 2 s"
    assert one(6, 6, 6).median(0) == "", "what was never opened took no time"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_figures_are_read_from_an_index_alone(database: Database) -> None:
    made = quality._statement(datetime(2026, 1, 1, tzinfo=UTC)).compile(dialect=sqlite.dialect())
    values = tuple(str(made.params[name]) for name in made.positiontup or ())
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {made}", values).fetchall()
    assert any("USING COVERING INDEX ix_approver_look_figures" in row[3] for row in plan), plan
    assert not any("TEMP B-TREE" in row[3] for row in plan), plan


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_is_for_admins_and_says_so_when_it_has_nothing_to_show(house: House, signed_in: People) -> None:
    bob, root = signed_in("bob", groups=["finance"]), signed_in("root", groups=["admin"])
    assert bob.get("/approvals/quality").status_code == 403
    assert "/approvals/quality" not in bob.get("/actions").text
    assert "Not enough decisions yet" in root.get("/approvals/quality").text
    plant(house, bob.person, 12, seconds=1)
    page = root.get("/approvals/quality").text
    assert "Bob" in page
    assert "under 2 s: 100 %" in page
    assert "style=" not in page.partition("<main")[2]
    assert "How people decide" in root.get("/actions").text
