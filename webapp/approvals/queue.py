"""What the queue and the history list: one indexed query each, from columns alone. Nothing is decrypted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from webapp.approvals.rules import TERMINAL
from webapp.approvals.seeing import visible_to
from webapp.approvals.tables import Action, ActionGroup, Decision
from webapp.web.viewer import Viewer

Tab = Literal["me", "others", "mine", "all"]
TABS: tuple[Tab, ...] = ("me", "others", "mine")
COUNTED = 100
"""The badge says 99+ beyond this."""


@dataclass(frozen=True)
class Listing:
    """A page of rows; `more` is the id to go on after, None at the end."""

    rows: Sequence[Action]
    more: str | None = None


def waiting_for(viewer: Viewer, now: datetime) -> ColumnElement[bool]:
    """Held, and this person's word is missing. What the page will ask of the document itself decides in the end."""
    decided = select(Decision.id).where(Decision.action == Action.id, Decision.person == viewer.person).exists()
    asked = select(ActionGroup.name).where(ActionGroup.action == Action.id, ActionGroup.name.in_(viewer.groups)).exists()
    confirm = and_(Action.asks_owner, Action.owner == viewer.person)
    approve = and_(
        asked, Action.person != viewer.person, Action.owner != viewer.person, Action.agent_owner != viewer.person,
        Action.server_owner != viewer.person,
    )
    return and_(Action.state == "held", Action.expires_at > now, or_(confirm, approve), ~decided)


def count(session: Session, viewer: Viewer, now: datetime) -> int:
    """How many wait for this person; COUNTED at most."""
    some = select(Action.id).where(waiting_for(viewer, now)).limit(COUNTED).subquery()
    return int(session.scalar(select(func.count()).select_from(some)) or 0)


def version(session: Session) -> str:
    """Moves whenever something that a page shows has changed."""
    latest = session.scalar(select(func.max(Action.changed_at)))
    return latest.isoformat() if latest else ""


def waiting(session: Session, viewer: Viewer, now: datetime, limit: int) -> Listing:
    """Ordered by what could go most wrong, then by what lapses first."""
    found = select(Action).where(waiting_for(viewer, now)).order_by(Action.rank, Action.expires_at, Action.id).limit(limit)
    return Listing(session.scalars(found).all())


def others(session: Session, viewer: Viewer, now: datetime, limit: int) -> Listing:
    """Under way, visible, and not waiting for this person: held for others, approved, running, or uncertain."""
    under_way = or_(
        and_(Action.state == "held", Action.expires_at > now, ~waiting_for(viewer, now)),
        Action.state.in_(("approved", "executing", "uncertain")),
    )
    found = select(Action).where(under_way, visible_to(viewer)).order_by(Action.rank, Action.expires_at, Action.id).limit(limit)
    return Listing(session.scalars(found).all())


def mine(session: Session, viewer: Viewer, limit: int, after: str | None = None) -> Listing:
    """What this person's agents asked, whatever became of it, the latest first."""
    own = or_(Action.person == viewer.person, Action.owner == viewer.person, Action.agent_owner == viewer.person)
    return _page(session, own, limit, after)


def history(session: Session, viewer: Viewer, limit: int, after: str | None = None) -> Listing:
    """What ended, of all that this person may see, the latest first."""
    return _page(session, and_(Action.state.in_(TERMINAL), visible_to(viewer)), limit, after)


def uncertain(session: Session, viewer: Viewer) -> Sequence[Action]:
    """Uncertain actions that this person can close: they stand on the start page until somebody has looked."""
    own = or_(Action.person == viewer.person, Action.owner == viewer.person, Action.agent_owner == viewer.person)
    closable = Action.id.is_not(None) if viewer.admin else own
    return session.scalars(select(Action).where(Action.state == "uncertain", closable).order_by(Action.id).limit(COUNTED)).all()


def _page(session: Session, where: ColumnElement[bool], limit: int, after: str | None) -> Listing:
    found = select(Action).where(where).order_by(Action.id.desc()).limit(limit + 1)
    rows = session.scalars(found.where(Action.id < after) if after else found).all()
    return Listing(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)
