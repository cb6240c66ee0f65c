"""Due rows claimed by conditional UPDATE and worked off; and the log sequenced. Any number of workers, on any machine."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import CursorResult, and_, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from webapp.audit import sequence
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
WAITS = Made(select(Due.id).where(Due.run_at <= bindparam("now")).limit(1))


def claim(session: Session, worker: str, now: datetime) -> Due | None:
    """Take the row that is due the longest, or None."""
    free = or_(Due.claimed_until.is_(None), Due.claimed_until < now)
    for row in session.scalars(select(Due).where(Due.run_at <= now, free).order_by(Due.run_at).limit(AT_ONCE)):
        taken = session.execute(
            update(Due).where(Due.id == row.id, Due.run_at == row.run_at, free)
            .values(claimed_by=worker, claimed_until=now + CLAIM, attempts=Due.attempts + 1),
            execution_options={"synchronize_session": False},
        )
        if cast("CursorResult[object]", taken).rowcount == 1:
            session.expunge(row)
            row.attempts += 1
            return row
    return None


def release(session: Session, row: Due, worker: str, again: datetime | None, error: str | None = None) -> None:
    """Give a row back: gone when it is done, unless it was enqueued anew while it ran."""
    mine = and_(Due.id == row.id, Due.claimed_by == worker)
    unchanged = and_(mine, Due.run_at == row.run_at)
    if again is None:
        session.execute(delete(Due).where(unchanged))
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
        """Sequence the log and start one due row; whether there was one."""
        try:
            if self.plan is not None:
                self.plan(self.house)
                self.plan = None
            self._sequence()
            row = self._claim()
        except (KeeperError, CountersealError) as error:
            log.warning("the worker waits: %s (%s)", error.hint, error.detail)
            self.stop.wait(PAUSE)
            return False
        if row is None:
            return False
        thread = threading.Thread(target=self._work, args=(row,), name=f"due-{row.kind}", daemon=True)
        self._running.add(thread)
        thread.start()
        return True

    def _sequence(self) -> None:
        """Signing is the same work for one entry as for a thousand."""
        if time.monotonic() - self._sequenced >= PAUSE:
            sequence(self.house)
            self._sequenced = time.monotonic()

    def _claim(self) -> Due | None:
        """A row and a seat to run it in: no row is claimed that could not start at once."""
        if not self._seats.acquire(timeout=PAUSE):
            return None
        row: Due | None = None
        try:
            row = self._next()
        finally:
            if row is None:
                self._seats.release()
        return row

    def _next(self) -> Due | None:
        with self.house.database.look() as on:
            due = on.row(WAITS, {"now": self.house.clock()})
        if due is None:
            return None
        return self.house.database.write(lambda s: claim(s, self.name, self.house.clock()))

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
