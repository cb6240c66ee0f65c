"""Due rows: many enqueue one piece of work at once."""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.conftest import Clock
from webapp.db import Database
from webapp.db.due import Due, enqueue
from webapp.db.once import insert_once


def test_those_who_enqueue_the_same_work_first_and_at_once_leave_one_row_and_no_error(database: Database, clock: Clock) -> None:
    """Each looks before the other has committed: a select and an insert would fail one of them with its whole transaction."""
    both, errors = threading.Barrier(4), list[BaseException]()

    def first(session: Session) -> None:
        if not database.sqlite:
            both.wait(60)
        enqueue(session, "kind", "key", clock())

    def one() -> None:
        try:
            database.write(first)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.read() as session:
        assert len(session.scalars(select(Due)).all()) == 1


def test_a_row_inserted_once_says_who_inserted_it(database: Database, clock: Clock) -> None:
    def put(session: Session) -> bool:
        return insert_once(session, Due, id="due_1", kind="k", key="k", run_at=clock(), payload={}, attempts=0)

    assert [database.write(put), database.write(put)] == [True, False]


def test_what_is_enqueued_again_runs_at_the_sooner_time_and_a_running_one_once_more(database: Database, clock: Clock) -> None:
    later, sooner = clock() + timedelta(hours=1), clock() + timedelta(minutes=1)
    for at in (later, sooner, later):
        database.write(lambda s, at=at: enqueue(s, "kind", "key", at, {"n": 1}))
    with database.read() as session:
        row = session.scalars(select(Due)).one()
        assert (row.run_at, row.payload, row.attempts) == (sooner, {"n": 1}, 0)
    database.write(lambda s: s.execute(update(Due).values(claimed_by="worker")))
    database.write(lambda s: enqueue(s, "kind", "key", sooner))
    with database.read() as session:
        assert session.scalars(select(Due)).one().run_at > sooner
