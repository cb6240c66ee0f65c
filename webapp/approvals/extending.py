"""More time to decide, where the rule allows it.

The envelope's `expires_at` is signed over and never changes: it is the latest that the rule allows. Until somebody who may decide
puts that off, the action lapses earlier, at the time in its row. What is in the row can only be earlier.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from vault.errors import MayNotDecide
from webapp import audit
from webapp.approvals.claims import decides
from webapp.approvals.seeing import Opened, open_for
from webapp.approvals.tables import Action
from webapp.approvals.transitions import touch
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import Conflict
from webapp.web.house import House
from webapp.web.viewer import Viewer


def until(opened: Opened, viewer: Viewer, now: datetime) -> datetime | None:
    """Until when this person may have it wait; None where they may not, or it is so already."""
    latest = opened.document.expires_at
    earlier = opened.action.state == "held" and opened.action.expires_at < latest
    return latest if earlier and decides(opened, viewer, now) else None


def extend(house: House, action_id: str, viewer: Viewer) -> None:
    """Have it wait as long as its rule allows. Raises Missing, MayNotDecide, Conflict for what was decided, has lapsed or was
    extended meanwhile."""
    opened = open_for(house, action_id, viewer)
    now = house.clock()
    if not decides(opened, viewer, now):
        raise MayNotDecide
    latest = until(opened, viewer, now)
    if latest is None or opened.resolution(now).state != "held":
        raise Conflict("This action cannot be given more time any more.")
    house.database.write(lambda s: _extend(s, opened, viewer, latest, house.clock()))


def _extend(session: Session, opened: Opened, viewer: Viewer, latest: datetime, now: datetime) -> None:
    before = opened.action.expires_at
    done = session.execute(
        update(Action).where(Action.id == opened.action.id, Action.state == "held", Action.expires_at == before,
                             Action.expires_at > now).values(expires_at=latest),
        execution_options={"synchronize_session": False},
    )
    if changed(done) != 1:
        raise Conflict("Somebody else was first: this action has changed since you looked.")
    touch(session, opened.action.id, now)
    enqueue(session, "approvals.expire", opened.action.id, latest)
    audit.append(session, kind="action.extended", actor=f"person:{viewer.person}", subject=opened.action.id, at=now,
                 detail={"digest": opened.document.digest, "from": before.isoformat(), "until": latest.isoformat()})
