"""Who is woken by what: a commit that tells nothing wakes nobody, in whichever process it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from webapp.db import Database, changes
from webapp.db.due import Due, enqueue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def other(database: Database, database_url: str) -> Iterator[Database]:
    """As another process has it, with its watcher under way."""
    found = Database(database_url)
    mark = found.changes.mark("first")
    tell(database, "first")
    assert found.changes.wait(mark, "first", timeout=60)
    yield found
    found.close()


def tell(database: Database, *topics: str, kind: str = "k") -> None:
    def work(session: object) -> None:
        enqueue(session, kind, "1", NOW)  # type: ignore[arg-type]
        session.info["topics"] = set(topics)  # type: ignore[attr-defined]

    database.write(work)


def test_only_who_waits_for_it_is_woken_in_another_process(database: Database, other: Database) -> None:
    """The last topic shows that the ones before were looked at: they come in order."""
    quiet, loud = other.changes.mark("accounts:per_1"), other.changes.mark("queue")
    tell(database)
    tell(database, "action:act_1")
    tell(database, "queue")
    assert other.changes.wait(loud, "queue", timeout=60)
    assert other.changes.mark("accounts:per_1") == quiet


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_process_is_not_woken_a_second_time_by_what_it_told_itself(database: Database, other: Database) -> None:
    """Attack: an agent that calls and calls would have every open page look again four times a second."""
    before = other.changes.mark("queue")
    tell(other, "queue")
    once = other.changes.mark("queue")
    assert once != before
    mark = other.changes.mark("later")
    tell(database, "later")
    assert other.changes.wait(mark, "later", timeout=60)
    assert other.changes.mark("queue") == once


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_slept_through_too_much_looks_at_everything(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for the others is bounded; a gap wakes everybody."""
    monkeypatch.setattr(changes, "FORGET", changes.Made(changes.delete(changes.Told).where(
        changes.Told.number <= select(func.max(changes.Told.number)).scalar_subquery() - 3
    )))
    for number in range(10):
        tell(database, f"t{number}")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(changes.Told)) == 3
        assert session.scalar(select(func.count()).select_from(Due)) == 1
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert database.changes._others(driver, 10) == (set(), 10)
        assert database.changes._others(driver, 2) == ({changes.EVERYTHING}, 10)
        assert database.changes._others(driver, -1) == ({changes.EVERYTHING}, 10)
