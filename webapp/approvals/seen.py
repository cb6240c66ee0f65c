"""Who saw an action in a list, and who opened it first, when. Marks for people to read: no rule asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from threading import Lock

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.approvals.desk.tables import Seen
from webapp.approvals.rules import WAITING
from webapp.approvals.tables import Action
from webapp.approvals.transitions import touch
from webapp.db.count import changed
from webapp.db.once import insert_once
from webapp.errors import Unavailable
from webapp.web.house import House

PEOPLE = 200
"""Marks that are kept for one action: whoever comes later leaves none."""
KNOWN = 20_000


class Known:
    """Marks that are there for certain, so that a list that is shown again and again asks for nothing. Of this process alone: one
    that does not know writes a second time, and that changes nothing."""

    def __init__(self, most: int = KNOWN) -> None:
        self._most, self._marks, self._lock = most, set[tuple[str, str]](), Lock()

    def missing(self, person: str, actions: Sequence[str]) -> list[str]:
        return [action for action in actions if (action, person) not in self._marks]

    def add(self, person: str, actions: Sequence[str]) -> None:
        with self._lock:
            if len(self._marks) + len(actions) > self._most:
                self._marks.clear()
            self._marks.update((action, person) for action in actions)


known = Known()


def listed(house: House, person: str, actions: Sequence[str]) -> None:
    """These were listed to this person, as waiting for them."""
    fresh = known.missing(person, actions)
    if not fresh:
        return
    try:
        house.database.write(lambda s: _listed(s, person, fresh, house.clock()))
    except Unavailable:  # a mark that cannot be written keeps nobody from looking at what waits
        return
    known.add(person, fresh)


def look(house: House, action: str, person: str) -> None:
    """This person has the action's page open. Writes the first time only."""
    with house.database.read() as session:
        if _has_opened(session, action, person):
            return
    try:
        house.database.write(lambda s: opened(s, action, person, house.clock()))
    except Unavailable:  # as above
        return


def opened(session: Session, action: str, person: str, now: datetime) -> bool:
    """Mark it, in the caller's transaction; whether this was the first time. Whoever looks at it too is told."""
    if _has_opened(session, action, person):
        return False
    there = update(Seen).where(Seen.action == action, Seen.person == person, Seen.opened_at.is_(None)).values(opened_at=now)
    done = changed(session.execute(there, execution_options={"synchronize_session": False})) == 1
    if not done:
        if _people(session, [action]).get(action, 0) >= PEOPLE:
            return False
        done = insert_once(session, Seen, action=action, person=person, listed_at=None, opened_at=now)
    waiting = session.scalar(select(Action.state).where(Action.id == action)) in WAITING
    if done and waiting:
        touch(session, action, now)
    return done


def first(session: Session, action: str) -> list[Seen]:
    """Everyone who saw or opened it, who opened it first leading; who only saw it in a list, last."""
    order = (Seen.opened_at.is_(None), Seen.opened_at, Seen.listed_at, Seen.person)
    return list(session.scalars(select(Seen).where(Seen.action == action).order_by(*order).limit(PEOPLE)))


def _has_opened(session: Session, action: str, person: str) -> bool:
    mine = select(Seen.action).where(Seen.action == action, Seen.person == person, Seen.opened_at.is_not(None))
    return session.scalar(mine) is not None


def _people(session: Session, actions: Sequence[str]) -> dict[str, int]:
    found = session.execute(select(Seen.action, func.count()).where(Seen.action.in_(actions)).group_by(Seen.action))
    return dict(found.all())


def _listed(session: Session, person: str, actions: Sequence[str], now: datetime) -> None:
    """In one order for everybody: each row shares a lock on its action, and whoever ends many of them takes those one by one."""
    full = {action for action, number in _people(session, actions).items() if number >= PEOPLE}
    rows = [{"action": one, "person": person, "listed_at": now, "opened_at": None} for one in sorted(actions) if one not in full]
    if rows:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.execute(insert(Seen).values(rows).on_conflict_do_nothing())
