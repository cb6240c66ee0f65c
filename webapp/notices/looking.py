"""What there is to tell: read by due row from what changed since the last look, beside the writer. What is new is noted, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.approvals.tables import Action
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.db.once import insert_once
from webapp.ids import new_id
from webapp.notices import logged
from webapp.notices.concerning import concerned, found, stuck, waits
from webapp.notices.listening import Everyone, everyone
from webapp.notices.rules import Kind
from webapp.notices.tables import Looked, Notice
from webapp.web.house import House

OVERLAP = timedelta(minutes=2)
"""Of two transactions at once the one with the earlier time may be the later one to commit; and clocks of machines differ."""
PAGE = 1000
"""Actions, or entries of the log, that are read in one go."""
AT_ONCE = 200
"""Notices written in one transaction: others write between two."""


@dataclass(frozen=True)
class Note:
    """What may be new for somebody. `about`: an action's id or an entry's."""

    whom: str
    kind: Kind
    about: str
    server: str = ""
    cls: str = ""
    lapses: datetime | None = None
    later: bool = False
    """It was noted, with an earlier lapse."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.whom, self.kind, self.about


@dataclass(frozen=True)
class Upto:
    """How far was looked."""

    changed_at: datetime
    entry: str


def look(house: House, now: datetime) -> int:
    """Note what is new for those who have a channel; how many notices that made or renewed."""
    seen = _seen(house, now)
    with house.database.read() as session:
        all_ = everyone(session, house.settings.people, now)
        notes, upto = _new(session, house.settings, seen, all_, now)
    for start in range(0, len(notes), AT_ONCE):
        _write(house, notes[start:start + AT_ONCE], now)
    if upto != Upto(seen.changed_at, seen.entry) or (seen.entry_before != seen.entry and now - seen.marked_at >= OVERLAP):
        house.database.write(lambda s: _advance(s, seen, upto, now))
    return len(notes)


def still(session: Session, settings: Settings, whom: str, about: Iterable[str], now: datetime) -> dict[str, set[str]]:
    """Which of these actions still wait for this person or group (`waits`), and which still for anybody (`stuck`)."""
    rows = session.scalars(select(Action).where(Action.id.in_(list(about)))).all()
    who = next(iter(everyone(session, settings.people, now, only=whom).listeners), None)
    here = found(session, rows, now) if who is not None else []
    return {
        "waits": {one.action.id for one in here if who is not None and waits(one, who, now) is not None},
        "stuck": {one.action.id for one in here if stuck(one, now)},
    }


def forget(session: Session) -> None:
    """Whoever makes the next channel is told what happens from then on, not what happened while nobody listened."""
    row = session.get(Looked, 1)
    if row is not None:
        session.delete(row)


def _seen(house: House, now: datetime) -> Looked:
    """The first look begins with what happens from then on."""
    with house.database.read() as session:
        row = session.get(Looked, 1)
    return row if row is not None else house.database.write(lambda s: _begin(s, now))


def _begin(session: Session, now: datetime) -> Looked:
    last = session.scalar(select(func.max(Entry.id))) or ""
    insert_once(session, Looked, id=1, changed_at=now, entry=last, entry_before=last, marked_at=now)
    row = session.get_one(Looked, 1)
    session.expunge(row)
    return row


def _new(session: Session, settings: Settings, seen: Looked, all_: Everyone, now: datetime) -> tuple[list[Note], Upto]:
    notes, changed_at = list[Note](), seen.changed_at
    for rows in _changed(session, settings, seen.changed_at - OVERLAP, now):
        changed_at = max(changed_at, *(row.changed_at for row in rows))
        of_page = [
            Note(whom, kind, one.action.id, one.action.server_title, one.action.cls,
                 one.action.expires_at if kind in ("confirm", "approve", "expiring", "stuck") else None)
            for one in found(session, rows, now) for whom, kind in concerned(one, all_, settings.notices, now)
        ]
        notes += _unknown(session, of_page)
    entry = session.scalar(select(func.max(Entry.id))) or ""
    for lines in _logged(session, seen.entry_before, entry):
        notes += _unknown(session, [
            Note(whom, kind, line.id) for line in lines for whom, kind in logged.concerned(session, line, all_)
        ])
    return notes, Upto(changed_at, max(entry, seen.entry))


def _changed(session: Session, settings: Settings, since: datetime, now: datetime) -> Iterator[Sequence[Action]]:
    """What changed, and what waits and lapses before long."""
    yield from _pages(session, Action.changed_at > since)
    horizon = now + timedelta(seconds=settings.notices.soon)
    yield from _pages(session, and_(
        Action.state == "held", Action.expires_at > now, Action.expires_at <= horizon, Action.changed_at <= since
    ))


def _pages(session: Session, which: ColumnElement[bool]) -> Iterator[Sequence[Action]]:
    """By the key of the last row, not by how many came before: a thousand that changed at once are two pages all the same."""
    asked = select(Action).where(which).order_by(Action.changed_at, Action.id).limit(PAGE)
    rows = session.scalars(asked).all()
    while rows:
        yield rows
        at, last = rows[-1].changed_at, rows[-1].id
        after = or_(Action.changed_at > at, and_(Action.changed_at == at, Action.id > last))
        rows = session.scalars(asked.where(after)).all() if len(rows) == PAGE else []


def _logged(session: Session, after: str, until: str) -> Iterator[Sequence[logged.Line]]:
    lines = logged.entries(session, after, until, PAGE)
    while lines:
        yield lines
        lines = logged.entries(session, lines[-1].id, until, PAGE) if len(lines) == PAGE else []


def _unknown(session: Session, notes: Sequence[Note]) -> list[Note]:
    """Those that are not there yet, and those that are there with an earlier lapse: somebody gave the action more time."""
    abouts = sorted({one.about for one in notes})
    there = {
        (whom, kind, about): lapses for start in range(0, len(abouts), PAGE) for whom, kind, about, lapses in session.execute(
            select(Notice.whom, Notice.kind, Notice.about, Notice.lapses).where(Notice.about.in_(abouts[start:start + PAGE]))
        )
    }
    found = [one if one.key not in there else replace(one, later=True) for one in notes]
    return [one for one in found if not one.later or (one.lapses and (known := there[one.key]) and one.lapses > known)]


def _write(house: House, notes: Sequence[Note], now: datetime) -> None:
    rows = [
        {"id": new_id("ntc"), "whom": one.whom, "kind": one.kind, "about": one.about, "server": one.server, "cls": one.cls,
         "at": now, "due_at": now, "lapses": one.lapses, "ended_at": None} for one in notes
    ]

    def write(session: Session) -> None:
        put = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.execute(put(Notice).on_conflict_do_nothing(), rows)
        for one in notes:
            if one.later:
                _later(session, one, now)

    house.database.write(write)


def _later(session: Session, one: Note, now: datetime) -> None:
    """What was given more time lapses later, and is told once more when that is near."""
    near = Notice.kind == "expiring"
    session.execute(
        update(Notice).where(
            Notice.whom == one.whom, Notice.kind == one.kind, Notice.about == one.about, Notice.lapses < one.lapses
        ).values(lapses=one.lapses, due_at=now, at=case((near, now), else_=Notice.at),
                ended_at=case((near, null()), else_=Notice.ended_at)),
        execution_options={"synchronize_session": False},
    )


def _advance(session: Session, seen: Looked, upto: Upto, now: datetime) -> None:
    """Never back, whoever else looks. What is newer than `entry_before` is read again next time."""
    values = {"changed_at": upto.changed_at, "entry": upto.entry}
    if now - seen.marked_at >= OVERLAP:
        values |= {"entry_before": seen.entry, "marked_at": now}
    mine = and_(Looked.changed_at <= upto.changed_at, Looked.entry <= upto.entry, Looked.marked_at == seen.marked_at)
    session.execute(update(Looked).where(mine).values(**values), execution_options={"synchronize_session": False})
