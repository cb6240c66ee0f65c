"""Putting an action off: it leaves what waits for this person and comes back by itself, always with enough time to decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.desk.tables import Snooze
from webapp.approvals.tables import Action
from webapp.approvals.transitions import touch
from webapp.db.due import Due, enqueue
from webapp.db.once import insert_once
from webapp.errors import BadInput, nsaid, said
from webapp.web.house import House
from webapp.web.viewer import Viewer

WAKE = "approvals.wake"
MORNING = time(8)
SHORTEST = timedelta(minutes=1)
LEAST, MOST = timedelta(minutes=15), timedelta(hours=1)
"""What is left to decide in when it is back: a quarter of what there was, within these."""
CHOICES = {"15m": said("For 15 minutes"), "1h": said("For 1 hour"), "tomorrow": said("Until tomorrow at 8:00")}


def asked_for(choice: str, now: datetime, zone: str) -> datetime:
    """The moment that a choice names. `tomorrow` is 8:00 of the next day where the person is. Raises BadInput."""
    if choice == "15m":
        return now + timedelta(minutes=15)
    if choice == "1h":
        return now + timedelta(hours=1)
    if choice == "tomorrow":
        there = ZoneInfo(zone)
        return datetime.combine(now.astimezone(there).date() + timedelta(days=1), MORNING, there).astimezone(now.tzinfo)
    raise BadInput("Say for how long: 15 minutes, 1 hour, or until tomorrow.")


def wake_at(asked: datetime, expires_at: datetime, now: datetime) -> datetime | None:
    """When it comes back: as asked, but never so late that too little time is left. None where it is too late to put it off."""
    spare = min(max(LEAST, (expires_at - now) / 4), MOST)
    until = min(asked, expires_at - spare)
    return until if until - now >= SHORTEST else None


def asleep(person: str, now: datetime) -> ColumnElement[bool]:
    """Put off by this person, for now."""
    return select(Snooze.action).where(Snooze.action == Action.id, Snooze.person == person, Snooze.until > now).exists()


def until(session: Session, person: str, actions: Sequence[str], now: datetime) -> dict[str, datetime]:
    """When each of these that this person put off comes back."""
    mine = select(Snooze.action, Snooze.until).where(Snooze.person == person, Snooze.action.in_(actions), Snooze.until > now)
    return dict(session.execute(mine).all())


@dataclass(frozen=True)
class PutOff:
    """What became of one: back at `until`, or not put off, since it lapses too soon."""

    action: str
    until: datetime | None


def put_off(session: Session, viewer: Viewer, actions: Sequence[Action], choice: str, now: datetime) -> list[PutOff]:
    """For each of `actions`, which wait for this person. In the caller's transaction."""
    asked = asked_for(choice, now, viewer.zone)
    return [_put_off(session, viewer, action, asked, now) for action in actions]


def _put_off(session: Session, viewer: Viewer, action: Action, asked: datetime, now: datetime) -> PutOff:
    back = wake_at(asked, action.expires_at, now)
    if back is None:
        return PutOff(action.id, None)
    session.execute(delete(Snooze).where(Snooze.action == action.id, Snooze.person == viewer.person))
    insert_once(session, Snooze, action=action.id, person=viewer.person, until=back, at=now)
    enqueue(session, WAKE, f"{viewer.person} {action.id}", back)
    _told(session, viewer, action.id, "action.snoozed", now, {"until": back.isoformat(timespec="seconds")})
    return PutOff(action.id, back)


def became(results: Sequence[PutOff]) -> list[tuple[str, str]]:
    """What is told of it: kind of notice and words."""
    done, late = sum(one.until is not None for one in results), sum(one.until is None for one in results)
    told: list[tuple[str, str]] = []
    if late:
        told.append(("warn", nsaid(
            "1 action lapses too soon to be put off.", "%(num)s actions lapse too soon to be put off.", late
        )))
    if done:
        told.append(("good", nsaid(
            "1 action is put off. It comes back by itself, with time enough to decide.",
            "%(num)s actions are put off. They come back by themselves, with time enough to decide.", done,
        )))
    return told or [("warn", said("None of these waits for you any more."))]


def bring_back(session: Session, viewer: Viewer, actions: Sequence[str], now: datetime) -> int:
    """Have them wait again at once; how many were put off."""
    mine = delete(Snooze).where(Snooze.person == viewer.person, Snooze.action.in_(actions)).returning(Snooze.action)
    back = session.scalars(mine).all()
    for action in back:
        _told(session, viewer, action, "action.unsnoozed", now, {})
    return len(back)


def _told(session: Session, viewer: Viewer, action: str, kind: str, now: datetime, detail: dict[str, str]) -> None:
    audit.append(session, kind=kind, actor=f"person:{viewer.person}", subject=action, at=now, detail=detail)
    touch(session, action, now)


def wake(house: House, row: Due) -> datetime | None:
    """It is back by its time alone; this tells the pages that are open."""
    return house.database.write(lambda s: _wake(s, row.key, house.clock()))


def _wake(session: Session, key: str, now: datetime) -> datetime | None:
    person, _, action = key.partition(" ")
    found = session.get(Snooze, (action, person), with_for_update=True)
    if found is None:
        return None
    if found.until > now:
        return found.until
    session.delete(found)
    touch(session, action, now)
    return None


jobs = {WAKE: wake}
