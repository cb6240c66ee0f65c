"""Due rows of this room: the figures gathered, what is past its time forgotten, trials run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from webapp.approvals.judged.tables import Judged
from webapp.db.count import changed
from webapp.db.due import Due, enqueue
from webapp.insights import figures, trials
from webapp.insights.gathering import gather
from webapp.insights.tables import Paced, RuleSpoke
from webapp.web.house import House

GATHER, FORGET = "insights.gather", "insights.forget"
OFTEN, SELDOM = timedelta(minutes=1), timedelta(minutes=10)
PIECE = 1000
LONGER = timedelta(days=1)
"""So that a row of the edge of the longest range is not gone while a page is counted."""


def plan(house: House) -> None:
    """Called by each worker as it starts."""
    def rows(session: Session) -> None:
        there = set(session.scalars(select(Due.kind).where(Due.kind.in_((GATHER, FORGET)))))
        for kind in (GATHER, FORGET):
            if kind not in there:
                enqueue(session, kind, "all", house.clock())

    house.database.write(rows)


def gathered(house: House, _row: Due) -> datetime:
    return house.clock() + (OFTEN if gather(house) else timedelta())


def forget(house: House, _row: Due) -> datetime:
    """A piece at a time; at once again while there is more."""
    now = house.clock()
    return now + (timedelta() if house.database.write(lambda s: _forget(s, house, now)) else SELDOM)


def _forget(session: Session, house: House, now: datetime) -> bool:
    settings = house.settings.insights
    before, shown = now - timedelta(days=settings.requests_days), now - timedelta(days=max(figures.RANGES)) - LONGER
    found = [
        _judged(session, before, settings.requests_most), _piece(session, Paced.action, Paced.at, shown),
        _spoken(session, shown),
    ]
    return any(count >= PIECE for count in found)


def _piece(session: Session, key: Any, at: Any, before: datetime) -> int:
    old = select(key).where(at < before).order_by(at).limit(PIECE)
    return _deleted(session, key, old)


def _spoken(session: Session, before: datetime) -> int:
    """Those that one call has go together."""
    return _piece(session, RuleSpoke.subject, RuleSpoke.at, before)


def _judged(session: Session, before: datetime, most: int) -> int:
    """The oldest, of which there is no index by time: those among the first that are past it, or beyond so many."""
    last = session.scalar(select(func.max(Judged.number))) or 0
    first = select(Judged.number, Judged.at).order_by(Judged.number).limit(PIECE).subquery()
    return _deleted(session, Judged.number, select(first.c.number).where((first.c.at < before) | (first.c.number <= last - most)))


def _deleted(session: Session, key: Any, old: Any) -> int:
    ids = list(session.scalars(old))
    return changed(session.execute(delete(key.class_).where(key.in_(ids)))) if ids else 0


jobs: dict[str, Callable[[House, Due], datetime | None]] = {GATHER: gathered, FORGET: forget, trials.RUN: trials.work}
