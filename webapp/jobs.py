"""Due rows claimed by conditional UPDATE and worked off; and the log sequenced. Any number of workers, on any machine."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from webapp.audit import sequence
from webapp.db.count import changed
from webapp.db.direct import Made
from webapp.db.due import Due
from webapp.errors import CountersealError
from webapp.web.house import House

log = logging.getLogger("counterseal.jobs")

Handler = Callable[[House, Due], datetime | None]
"""Does the work of one due row (detached from its session). Returns when to run again, or None when it is done.
It may run twice for one row when a worker died in between: what it does is settled by its own conditional UPDATEs."""

CLAIM = timedelta(seconds=120)
"""How long a worker has a row before another may take it."""
AT_ONCE = 8
PAUSE = 1.0
"""Seconds between looks, when nothing was told; and between two sequencings of the log. Who cannot wait for one (a decision)
sequences for itself."""
BACKOFF_MAX = 300
WAITS = Made(
    select(Due.id).where(
        Due.run_at <= bindparam("now"), or_(Due.claimed_until.is_(None), Due.claimed_until < bindparam("now"))
    ).limit(1)
)


def claim(session: Session, worker: str, now: datetime) -> Due | None:
    """Take the row that is due the longest, or None."""
    return next(iter(claim_some(session, worker, now, 1)), None)


def claim_some(session: Session, worker: str, now: datetime, most: int) -> list[Due]:
    """Take those that are due the longest, in one go. Another who does the same meanwhile takes others: rows that somebody is
    just taking are passed over (PostgreSQL; on SQLite one writes at a time)."""
    free = or_(Due.claimed_until.is_(None), Due.claimed_until < now)
    found = select(Due.id).where(Due.run_at <= now, free).order_by(Due.run_at).limit(most).with_for_update(skip_locked=True)
    ids = list(session.scalars(found))
    if not ids:
        return []
    taken = session.scalars(
        update(Due).where(Due.id.in_(ids), Due.run_at <= now, free)
        .values(claimed_by=worker, claimed_until=now + CLAIM, attempts=Due.attempts + 1).returning(Due),
        execution_options={"synchronize_session": False},
    )
    rows = sorted(taken, key=lambda row: row.run_at)
    for row in rows:
        session.expunge(row)
    return rows


def release(session: Session, row: Due, worker: str, again: datetime | None, error: str | None = None) -> None:
    """Give a row back: gone when it is done, unless it was enqueued anew while it ran."""
    mine = and_(Due.id == row.id, Due.claimed_by == worker)
    unchanged = and_(mine, Due.run_at == row.run_at)
    if again is None:
        if changed(session.execute(delete(Due).where(unchanged))) == 1:
            return
    else:
        fresh = {} if error else {"attempts": 0}
        session.execute(update(Due).where(unchanged).values(run_at=again, last_error=error, **fresh))
    session.execute(update(Due).where(mine).values(claimed_by=None, claimed_until=None))


def backoff(attempts: int, now: datetime) -> datetime:
    return now + timedelta(seconds=min(BACKOFF_MAX, 2 ** min(attempts, 16)))


@dataclass
class Worker:
    """The loop. `run` returns when `stop` is set and what was begun has ended."""

    house: House
    handlers: Mapping[str, Handler]
    plan: Callable[[House], None] | None = None
    """What has to be due from the start, called once."""
    stop: threading.Event = field(default_factory=threading.Event)
    name: str = field(default_factory=lambda: f"worker-{secrets.token_hex(6)}")
    _seats: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))
    _running: set[threading.Thread] = field(default_factory=set)
    _sequenced: float = float("-inf")

    def run(self) -> None:
        changes = self.house.database.changes
        while not self.stop.is_set():
            mark = changes.mark("due")
            if not self._step():
                changes.wait(mark, "due", timeout=PAUSE)
        for thread in list(self._running):
            thread.join(5)

    def _step(self) -> bool:
        """Sequence the log and start what is due, as far as there are seats; whether there was anything."""
        try:
            if self.plan is not None:
                self.plan(self.house)
                self.plan = None
            self._sequence()
            rows = self._claim()
        except (KeeperError, CountersealError) as error:
            log.warning("the worker waits: %s (%s)", error.hint, error.detail)
            self.stop.wait(PAUSE)
            return False
        self._start(rows)
        return bool(rows)

    def _start(self, rows: list[Due]) -> None:
        for row in rows:
            thread = threading.Thread(target=self._work, args=(row,), name=f"due-{row.kind}", daemon=True)
            self._running.add(thread)
            thread.start()

    def _sequence(self) -> None:
        """Signing is the same work for one entry as for a thousand."""
        if time.monotonic() - self._sequenced >= PAUSE:
            sequence(self.house)
            self._sequenced = time.monotonic()

    def _claim(self) -> list[Due]:
        """Rows, each with a seat to run it in: no row is claimed that could not start at once."""
        if not self._seats.acquire(timeout=PAUSE):
            return []
        seats, rows = 1, list[Due]()
        while seats < AT_ONCE and self._seats.acquire(blocking=False):
            seats += 1
        try:
            rows = self._next(seats)
        finally:
            if seats > len(rows):
                self._seats.release(seats - len(rows))
        return rows

    def _next(self, most: int) -> list[Due]:
        with self.house.database.look() as on:
            due = on.row(WAITS, {"now": self.house.clock()})
        if due is None:
            return []
        return self.house.database.write(lambda s: claim_some(s, self.name, self.house.clock(), most))

    def _work(self, row: Due) -> None:
        try:
            again, failed = self.work(row)
            self.house.database.write(lambda s: release(s, row, self.name, again, failed))
        except CountersealError as error:
            log.warning("due row %s is left to its claim: %s", row.id, error.detail)
        finally:
            self._seats.release()
            self._running.discard(threading.current_thread())

    def work(self, row: Due) -> tuple[datetime | None, str | None]:
        """Run the row's handler: when to run again and, if it failed, why."""
        handler = self.handlers.get(row.kind)
        if handler is None:
            log.error("nothing handles due rows of kind %s", row.kind)
            return backoff(16, self.house.clock()), "no handler"
        try:
            return handler(self.house, row), None
        except (KeeperError, CountersealError) as error:
            log.info("due %s %s failed, trying again later: %s (%s)", row.kind, row.key, error.code, error.detail)
            return backoff(row.attempts, self.house.clock()), error.code
        except Exception:  # the loop goes on for the other rows; this one is tried again later and the log says why
            log.exception("due %s %s failed", row.kind, row.key)
            return backoff(row.attempts, self.house.clock()), "error"
