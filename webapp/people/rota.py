"""On call: which person of a group is asked first, by weekly slots in the policy's zone. It gives nobody a right."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.config import Policy
from webapp.errors import BadInput, Missing, said
from webapp.ids import new_id
from webapp.people.tables import OnCall, Person

DAYS = (
    said("Monday"), said("Tuesday"), said("Wednesday"), said("Thursday"), said("Friday"), said("Saturday"), said("Sunday"),
)
MOST = 100


def add(session: Session, group: str, *, day: int, first: int, last: int, person: str, actor: str, now: datetime) -> str:
    """From `first` until `last` o'clock (24: midnight) on that weekday. Raises BadInput, Missing for who is unknown."""
    if day not in range(7) or not 0 <= first < last <= 24:
        raise BadInput("A slot is on one day, from an hour to a later one.")
    if session.get(Person, person) is None:
        raise Missing("Nobody by that name has signed in here yet.")
    if len(of(session, group)) >= MOST:
        raise BadInput(said("A group has at most %(most)s slots. Take one out first.", most=MOST))
    slot = new_id("slt")
    session.add(OnCall(id=slot, group_name=group, day=day, first=first, last=last, person=person, made_at=now))
    audit.append(session, kind="rota.added", actor=actor, subject=slot, at=now,
                 detail={"group": group, "day": day, "from": first, "to": last, "person": person})
    return slot


def remove(session: Session, slot: str, *, actor: str, now: datetime) -> str:
    """The group that it was of. Raises Missing."""
    row = session.get(OnCall, slot, with_for_update=True)
    if row is None:
        raise Missing("That slot is gone already.")
    group = row.group_name
    session.delete(row)
    audit.append(session, kind="rota.removed", actor=actor, subject=slot, at=now, detail={"group": group, "person": row.person})
    return group


def of(session: Session, group: str) -> Sequence[OnCall]:
    asked = select(OnCall).where(OnCall.group_name == group).order_by(OnCall.day, OnCall.first, OnCall.id)
    return session.scalars(asked).all()


def on_call(session: Session, group: str, policy: Policy, now: datetime) -> frozenset[str]:
    """Who is on call for this group at this moment."""
    local = now.astimezone(ZoneInfo(policy.zone))
    asked = select(OnCall.person).where(
        OnCall.group_name == group, OnCall.day == local.weekday(), OnCall.first <= local.hour, OnCall.last > local.hour
    )
    return frozenset(session.scalars(asked))
