"""Due rows: work to be done at or after a time, by whichever worker claims it first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import UniqueConstraint, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from webapp.db.base import Base
from webapp.db.once import insert_once
from webapp.ids import new_id


class Due(Base):
    """One piece of work. `kind` names its handler; `key` makes it unique within the kind."""

    __tablename__ = "due"
    __table_args__ = (UniqueConstraint("kind", "key"),)
    shown = ("id", "kind", "key", "run_at", "attempts")

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str]
    run_at: Mapped[datetime] = mapped_column(index=True)
    payload: Mapped[dict[str, Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    claimed_by: Mapped[str | None]
    claimed_until: Mapped[datetime | None]
    last_error: Mapped[str | None]


def enqueue(session: Session, kind: str, key: str, run_at: datetime, payload: dict[str, Any] | None = None) -> None:
    """Have `kind` run for `key` at `run_at` (or sooner, if it was due sooner). In the caller's transaction."""
    there = select(Due).where(Due.kind == kind, Due.key == key).with_for_update().execution_options(populate_existing=True)
    session.flush()
    while not insert_once(
        session, Due, id=new_id("due"), kind=kind, key=key, run_at=run_at, payload=payload or {}, attempts=0
    ):
        row = session.scalar(there)
        if row is not None:  # else its worker has just finished it: it has to be there once more
            row.run_at = _sooner(row, run_at)
            row.payload = payload or row.payload
            session.flush()
            break
    session.info.setdefault("topics", set()).add("due")


def enqueue_all(session: Session, kind: str, keys: Sequence[str], run_at: datetime) -> None:
    """The same for many keys, without a payload, in few statements; at most a thousand."""
    if not keys:
        return
    session.flush()
    put = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    rows = [{"id": new_id("due"), "kind": kind, "key": key, "run_at": run_at, "payload": {}, "attempts": 0} for key in keys]
    fresh = set(session.scalars(put(Due).values(rows).on_conflict_do_nothing().returning(Due.key)))
    for key in keys:
        if key not in fresh:
            enqueue(session, kind, key, run_at)
    session.info.setdefault("topics", set()).add("due")


def _sooner(row: Due, run_at: datetime) -> datetime:
    """A row that is being worked off has to run once more: its time must differ, for that is how its worker sees it."""
    if row.claimed_by is None:
        return min(row.run_at, run_at)
    return run_at if run_at != row.run_at else run_at + timedelta(microseconds=1)
