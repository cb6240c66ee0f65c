"""What the queue and the history list: one indexed query each, from columns alone. Nothing is decrypted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from webapp.approvals.decoys import telling
from webapp.approvals.desk.snoozing import asleep
from webapp.approvals.desk.tables import Snooze
from webapp.approvals.rules import LIVE
from webapp.approvals.seeing import asked_of, visible_to
from webapp.approvals.tables import Action, Decision
from webapp.db.direct import Made, Where, direct
from webapp.web.viewer import Viewer

Tab = Literal["me", "snoozed", "others", "mine", "all"]
TABS: tuple[Tab, ...] = ("me", "snoozed", "others", "mine", "all")
Only = Sequence[ColumnElement[bool]]
"""What a list is narrowed to: `desk.filters.conditions`."""
COUNTED = 100
"""The badge says 99+ beyond this."""
WINDOW = 20_000
"""Actions that a list by time looks through at a time; `_further.html` says it."""


@dataclass(frozen=True)
class Listing:
    """A page of rows; `more` is the id to go on after, None at the end."""

    rows: Sequence[Action]
    more: str | None = None
    cut: bool = False
    """Whether there are more than these."""
    looked_back: bool = False
    """Whether the search stopped at `more`, where it may be continued, before it had looked at everything."""


def waiting_for(viewer: Viewer, now: datetime) -> ColumnElement[bool]:
    """Held, and this person's word is missing. What the page will ask of the document itself decides in the end."""
    decided = select(Decision.id).where(Decision.action == Action.id, Decision.person.in_(viewer.selves)).exists()
    confirm = and_(Action.asks_owner, Action.owner == viewer.person)
    approve = and_(
        asked_of(viewer), Action.person.not_in(viewer.selves), Action.owner.not_in(viewer.selves),
        Action.agent_owner.not_in(viewer.selves), Action.server_owner.not_in(viewer.selves),
        or_(Action.edited_by.is_(None), Action.edited_by.not_in(viewer.selves)),
    )
    return and_(Action.state == "held", Action.expires_at > now, or_(confirm, approve), ~decided)


def count(session: Session, viewer: Viewer, now: datetime) -> int:
    """How many wait for this person and were not put off; COUNTED at most."""
    return _count(session, and_(waiting_for(viewer, now), ~asleep(viewer.person, now)))


def count_snoozed(session: Session, viewer: Viewer, now: datetime) -> int:
    """How many of those that wait for this person they put off. COUNTED at most."""
    mine = select(Snooze.action).where(Snooze.person == viewer.person, Snooze.until > now).limit(COUNTED * 2)
    put_off = session.scalars(mine).all()  # mostly none, and then nothing else is read
    return _count(session, and_(Action.id.in_(put_off), waiting_for(viewer, now))) if put_off else 0


def _count(session: Session, where: ColumnElement[bool]) -> int:
    some = select(Action.id).where(where).limit(COUNTED).subquery()
    return int(session.scalar(select(func.count()).select_from(some)) or 0)


LATEST = Made(select(func.max(Action.changed_at)))


def version(session: Where) -> str:
    """Moves whenever something that a page shows has changed."""
    row = direct(session).row(LATEST)
    return row[0].isoformat() if row and row[0] else ""


def waiting(session: Session, viewer: Viewer, now: datetime, limit: int, only: Only = ()) -> Listing:
    """Ordered by what could go most wrong, then by what lapses first."""
    return _ranked(session, and_(waiting_for(viewer, now), ~asleep(viewer.person, now), *only), limit)


def snoozed(session: Session, viewer: Viewer, now: datetime, limit: int, only: Only = ()) -> Listing:
    """What this person put off, in the same order."""
    return _ranked(session, and_(waiting_for(viewer, now), asleep(viewer.person, now), *only), limit)


def under_way(viewer: Viewer, now: datetime) -> ColumnElement[bool]:
    """Visible, and not waiting for this person: held for others, approved, running, or uncertain."""
    state = or_(
        and_(Action.state == "held", Action.expires_at > now, ~waiting_for(viewer, now)),
        Action.state.in_(("approved", "executing", "uncertain")),
    )
    return and_(state, visible_to(viewer))


def others(session: Session, viewer: Viewer, now: datetime, limit: int, only: Only = ()) -> Listing:
    return _ranked(session, and_(under_way(viewer, now), *only), limit)


def own(viewer: Viewer) -> ColumnElement[bool]:
    return or_(Action.person == viewer.person, Action.owner == viewer.person, Action.agent_owner == viewer.person)


def mine(session: Session, viewer: Viewer, limit: int, after: str | None = None, only: Only = ()) -> Listing:
    """What this person's agents asked, whatever became of it, the latest first."""
    return _page(session, own(viewer), limit, after, only)


def over(viewer: Viewer) -> ColumnElement[bool]:
    """Ended, and visible. Said by what it is not: an index on the state would find nearly all rows, and in another order."""
    return and_(Action.state.not_in(LIVE), telling.asked_for(), visible_to(viewer))


def history(session: Session, viewer: Viewer, limit: int, after: str | None = None, only: Only = ()) -> Listing:
    """What ended, of all that this person may see, the latest first."""
    return _page(session, over(viewer), limit, after, only)


def uncertain(session: Session, viewer: Viewer) -> Sequence[Action]:
    """Uncertain actions that this person can close: they stand on the start page until somebody has looked."""
    closable = Action.id.is_not(None) if viewer.admin else own(viewer)
    return session.scalars(select(Action).where(Action.state == "uncertain", closable).order_by(Action.id).limit(COUNTED)).all()


def _ranked(session: Session, where: ColumnElement[bool], limit: int) -> Listing:
    found = select(Action).where(where).order_by(Action.rank, Action.expires_at, Action.id).limit(limit + 1)
    rows = session.scalars(found).all()
    return Listing(rows[:limit], cut=len(rows) > limit)


def _page(session: Session, where: ColumnElement[bool], limit: int, after: str | None, only: Only) -> Listing:
    """WINDOW actions are looked through at a time: what is rare, or is seldom this person's, must not read the whole table."""
    found = select(Action).where(where, *only).order_by(Action.id.desc()).limit(limit + 1)
    found = found.where(Action.id < after) if after else found
    least = floor(session, after)
    rows = session.scalars(found.where(Action.id >= least) if least else found).all()
    if len(rows) > limit:
        return Listing(rows[:limit], rows[limit - 1].id, cut=True)
    return Listing(rows, least, cut=least is not None, looked_back=least is not None)


def floor(session: Session, after: str | None) -> str | None:
    """The last id of the window that begins after this one; None when the rest fits into it."""
    ids = select(Action.id).order_by(Action.id.desc()).offset(WINDOW - 1).limit(2)
    found = session.scalars(ids.where(Action.id < after) if after else ids).all()
    return found[0] if len(found) > 1 else None
