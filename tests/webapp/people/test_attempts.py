"""Attempts at a factor are bounded in the database, for all processes together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy.orm import Session as DbSession

from tests.conftest import Clock
from webapp.config import People
from webapp.db import Database
from webapp.errors import LimitReached
from webapp.people import attempts
from webapp.people.tables import Person

SETTINGS = People(attempts=3, attempts_window=300)


@pytest.fixture
def spend(database: Database, clock: Clock) -> Callable[[], None]:
    def add(db: DbSession) -> None:
        db.add(Person(
            id="per_a", issuer="i", subject="a", name="A", email="", groups=[], created_at=clock.now, seen_at=clock.now
        ))

    database.write(add)
    return lambda: database.write(lambda db: attempts.spend(db, "per_a", SETTINGS, clock.now))


def test_the_attempt_after_the_last_is_refused_and_says_when_to_come_back(spend: Callable[[], None], clock: Clock) -> None:
    for _ in range(3):
        spend()
    clock.forward(seconds=200)
    with pytest.raises(LimitReached, match="in 2 minutes"):
        spend()


def test_refused_attempts_do_not_make_the_wait_longer(spend: Callable[[], None], clock: Clock) -> None:
    for _ in range(3):
        spend()
    for _ in range(5):
        clock.forward(seconds=59)
        with pytest.raises(LimitReached):
            spend()
    clock.forward(seconds=6)
    spend()


def test_a_right_answer_clears_what_went_before(spend: Callable[[], None], database: Database) -> None:
    for _ in range(3):
        spend()
    database.write(lambda db: attempts.clear(db, "per_a"))
    spend()


def test_somebody_unknown_has_no_attempts(database: Database, clock: Clock) -> None:
    with pytest.raises(LimitReached):
        database.write(lambda db: attempts.spend(db, "per_nobody", SETTINGS, clock.now))


def test_many_at_once_get_no_more_than_one_alone(spend: Callable[[], None], database: Database, clock: Clock) -> None:
    """Eight threads over two engines, as two processes would: three pass."""
    other, passed, start = Database(database.url), [], threading.Barrier(8)

    def one(through: Database, now: datetime) -> None:
        start.wait()
        try:
            through.write(lambda db: attempts.spend(db, "per_a", SETTINGS, now))
        except LimitReached:
            return
        passed.append(1)

    threads = [threading.Thread(target=one, args=(through, clock.now)) for through in (database, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert len(passed) == 3
