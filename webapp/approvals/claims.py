"""Who is on it: somebody says that they look at an action, so that two people do not do the same work.

A claim says so and stops nobody. It lapses by itself, and its holder can give it back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from vault.errors import MayNotDecide
from webapp import audit
from webapp.approvals.seeing import Opened, open_for
from webapp.approvals.tables import Action, Claim
from webapp.approvals.transitions import touch
from webapp.db.count import changed
from webapp.db.due import Due, enqueue
from webapp.db.once import insert_once
from webapp.errors import Conflict, said
from webapp.web.house import House
from webapp.web.viewer import Viewer

LAPSE = "approvals.unclaim"


def claim(house: House, action_id: str, viewer: Viewer) -> None:
    """Until `approvals.claim_minutes` from now; one's own is prolonged. Raises Missing, MayNotDecide for whom nothing waits here,
    Conflict while somebody else holds it."""
    opened = open_for(house, action_id, viewer)
    if opened.action.state != "held" or not decides(opened, viewer, house.clock()):
        raise MayNotDecide
    until = house.clock() + timedelta(minutes=house.settings.approvals.claim_minutes)
    house.database.write(lambda s: _claim(s, action_id, viewer, house.clock(), min(until, opened.action.expires_at)))


def release(house: House, action_id: str, viewer: Viewer) -> None:
    """Give it back. Twice is once."""
    open_for(house, action_id, viewer)
    house.database.write(lambda s: _release(s, action_id, viewer, house.clock()))


def standing(session: Session, action_id: str, now: datetime) -> Claim | None:
    return session.scalar(select(Claim).where(Claim.action == action_id, Claim.until > now))


def decides(opened: Opened, viewer: Viewer, now: datetime) -> bool:
    return opened.part(viewer.person, opened.speaker(viewer, now).groups, viewer.same_as) in ("confirm", "approve")


def lapse(house: House, row: Due) -> datetime | None:
    """A page that is open hears that the claim is over."""
    return house.database.write(lambda s: _lapse(s, row.key, house.clock()))


def _claim(session: Session, action_id: str, viewer: Viewer, now: datetime, until: datetime) -> None:
    free = or_(Claim.until <= now, Claim.person == viewer.person)
    mine = {"person": viewer.person, "name": viewer.name, "at": now, "until": until}
    taken = changed(session.execute(update(Claim).where(Claim.action == action_id, free).values(**mine)))
    if taken != 1 and not insert_once(session, Claim, action=action_id, **mine):
        other = session.get(Claim, action_id)
        raise Conflict(said("%(name)s is on it already. You can decide all the same.", name=other.name) if other else
                       "Somebody else is on it already. You can decide all the same.")
    _said(session, "action.claimed", action_id, viewer, now)
    enqueue(session, LAPSE, action_id, until)


def _release(session: Session, action_id: str, viewer: Viewer, now: datetime) -> None:
    if changed(session.execute(delete(Claim).where(Claim.action == action_id, Claim.person == viewer.person))) == 1:
        _said(session, "action.released", action_id, viewer, now)


def _said(session: Session, kind: str, action_id: str, viewer: Viewer, now: datetime) -> None:
    touch(session, action_id, now)
    action = session.get(Action, action_id)
    audit.append(session, kind=kind, actor=f"person:{viewer.person}", subject=action_id, at=now,
                 detail={"digest": action.digest if action else ""})


def _lapse(session: Session, action_id: str, now: datetime) -> datetime | None:
    found = session.get(Claim, action_id)
    if found is None:
        return None
    if found.until > now:
        return found.until
    touch(session, action_id, now)
    return None
