"""Due rows: once each, whoever works them off; tried again when they fail; never lost when a worker dies."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.conftest import Clock
from tests.webapp.approvals.parts import Server
from vault.door import Door
from vault.errors import VaultAway
from webapp import composition, rotating
from webapp.config import Settings
from webapp.connections import idle
from webapp.db import Database
from webapp.db.due import Due, enqueue
from webapp.jobs import AT_ONCE, CLAIM, Handler, Worker, claim, claim_some, release
from webapp.web.house import House


@pytest.fixture
def house(database: Database, clock: Clock, tmp_path: Path) -> House:
    return House(settings=Settings(instance=tmp_path), database=database, door=Door(tmp_path / "none"), clock=clock)


def rows(house: House) -> list[Due]:
    with house.database.read() as session:
        return list(session.scalars(select(Due)))


def test_what_happens_by_itself_is_due_from_a_workers_start_and_has_somebody_who_does_it(house: House) -> None:
    """Nobody has to ask for it: the keys in the vault are looked at, and the accounts that nobody uses."""
    wanted = {*((rotating.KIND, key) for key in rotating.KEYS), (idle.LOOK, "all")}
    done, all_done = set[tuple[str, str]](), threading.Event()

    def note(_house: House, row: Due) -> datetime:
        done.add((row.kind, row.key))
        if wanted <= done:
            all_done.set()
        return house.clock() + timedelta(days=1)

    real = composition.job_handlers(Server().handed)
    assert real[idle.LOOK] is idle.look
    assert real[rotating.KIND] is rotating.jobs[rotating.KIND]
    worker = Worker(house, dict.fromkeys(real, note), composition.plan)
    loop = threading.Thread(target=worker.run)
    loop.start()
    try:
        assert all_done.wait(90), done
    finally:
        worker.stop.set()
        loop.join()


def test_two_workers_in_eight_threads_run_each_row_once(house: House) -> None:
    for number in range(40):
        house.database.write(lambda s, n=number: enqueue(s, "k", str(n), house.clock()))
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def drain(worker: str) -> None:
        while row := house.database.write(lambda s: claim(s, worker, house.clock())):
            with lock:
                seen[row.key] += 1
            house.database.write(lambda s, r=row: release(s, r, worker, None))

    threads = [threading.Thread(target=drain, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {str(n): 1 for n in range(40)}
    assert rows(house) == []


def many(house: House, count: int) -> None:
    for number in range(count):
        at = house.clock() - timedelta(seconds=number)
        house.database.write(lambda s, n=number, at=at: enqueue(s, "k", str(n), at))


def test_what_is_taken_in_one_go_is_what_is_due_the_longest_and_nobody_elses(house: House) -> None:
    many(house, 20)
    taken = [
        [int(row.key) for row in house.database.write(lambda s, w=worker: claim_some(s, w, house.clock(), 8))]
        for worker in ("a", "b", "c", "d")
    ]
    assert taken == [list(range(19, 11, -1)), list(range(11, 3, -1)), list(range(3, -1, -1)), []]
    assert {row.attempts for row in rows(house)} == {1}
    assert {row.claimed_until for row in rows(house)} == {house.clock() + CLAIM}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rows_that_another_is_just_taking_are_passed_over(house: House) -> None:
    """Two workers that look at the same moment do not wait for each other. On SQLite one transaction writes at a time."""
    many(house, 5)
    with Session(house.database.engine) as first:
        mine = {row.key for row in claim_some(first, "a", house.clock(), 3)}
        others = {row.key for row in house.database.write(lambda s: claim_some(s, "b", house.clock(), 3))}
        first.commit()
    assert (len(mine), len(others), mine & others) == (3, 2, set())


def test_no_row_is_taken_that_could_not_start_at_once(house: House) -> None:
    many(house, AT_ONCE + 4)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def wait(_house: House, _row: Due) -> None:
        begun.release()
        go_on.wait(60)

    worker = Worker(house, {"k": wait})
    worker._start(worker._claim())
    for _ in range(AT_ONCE):
        assert begun.acquire(timeout=60)
    assert sum(row.claimed_by is not None for row in rows(house)) == AT_ONCE
    go_on.set()
    for thread in list(worker._running):
        thread.join(60)
    assert len(rows(house)) == 4
    worker._start(worker._claim())
    for thread in list(worker._running):
        thread.join(60)
    assert rows(house) == []


def test_a_row_of_a_worker_that_died_is_taken_over_after_its_claim(house: House, clock: Clock) -> None:
    house.database.write(lambda s: enqueue(s, "k", "1", clock()))
    assert house.database.write(lambda s: claim(s, "dead", clock())) is not None
    assert house.database.write(lambda s: claim(s, "next", clock())) is None
    clock.forward(seconds=CLAIM.total_seconds() + 1)
    assert house.database.write(lambda s: claim(s, "next", clock())) is not None


def test_a_late_release_of_a_lost_claim_changes_nothing(house: House, clock: Clock) -> None:
    house.database.write(lambda s: enqueue(s, "k", "1", clock()))
    lost = house.database.write(lambda s: claim(s, "slow", clock()))
    clock.forward(seconds=CLAIM.total_seconds() + 1)
    house.database.write(lambda s: claim(s, "next", clock()))
    assert lost is not None
    house.database.write(lambda s: release(s, lost, "slow", None))
    assert rows(house)[0].claimed_by == "next"


@pytest.mark.parametrize("seconds", [-1, 0, 60])
def test_work_enqueued_anew_while_it_runs_is_not_forgotten(house: House, clock: Clock, seconds: int) -> None:
    house.database.write(lambda s: enqueue(s, "k", "1", clock()))
    row = house.database.write(lambda s: claim(s, "w", clock()))
    assert row is not None
    house.database.write(lambda s: enqueue(s, "k", "1", clock() + timedelta(seconds=seconds)))
    house.database.write(lambda s: release(s, row, "w", None))
    assert [left.claimed_by for left in rows(house)] == [None]


def run_one(house: House, handler: Handler) -> tuple[datetime | None, str | None]:
    worker = Worker(house, {"k": handler})
    house.database.write(lambda s: enqueue(s, "k", "1", house.clock()))
    row = house.database.write(lambda s: claim(s, worker.name, house.clock()))
    assert row is not None
    again, error = worker.work(row)
    house.database.write(lambda s: release(s, row, worker.name, again, error))
    return again, error


def test_a_failure_is_tried_again_later_with_its_reason(house: House, clock: Clock) -> None:
    def away(house: House, row: Due) -> None:
        raise VaultAway

    again, error = run_one(house, away)
    assert error == "vault_away"
    assert again is not None
    assert again > clock()
    assert [(row.last_error, row.attempts) for row in rows(house)] == [("vault_away", 1)]


def test_a_handler_that_breaks_does_not_lose_its_row(house: House) -> None:
    def broken(house: House, row: Due) -> None:
        raise ZeroDivisionError

    assert run_one(house, broken)[1] == "error"
    assert len(rows(house)) == 1
