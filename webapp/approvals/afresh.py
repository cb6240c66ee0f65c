"""Actions of a restored copy: what may have gone on since the copy was made is not gone on with (promise 2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import usage
from webapp.approvals.rules import State, only_confirmed
from webapp.approvals.tables import Action, Decision
from webapp.approvals.transitions import move, tell
from webapp.audit.tables import Entry

APPROVED_BEFORE = "it was approved before the instance was restored from a backup, and may have run since."
CONFIRMED_BEFORE = "it was confirmed before the instance was restored from a backup, and may have run since."
DECIDED_BEFORE = "somebody had decided on it before the instance was restored from a backup."


def begin(session: Session, now: datetime) -> dict[str, int]:
    """What was running or approved is `uncertain`: only a person can find out whether it ran. What was held and decided in part
    is void: its decisions may have been completed, and used, since. What was held and undecided waits on. How many of each."""
    decided = exists().where(Decision.action == Action.id)
    uncertain = _all(session, select(Action).where(Action.state.in_(("approved", "executing"))), "uncertain", _given, now)
    void = _all(session, select(Action).where(Action.state == "held", decided), "void", lambda _action: DECIDED_BEFORE, now)
    for held in session.scalars(select(Action.id).where(Action.state == "held")):
        tell(session, held)
    return {"uncertain": uncertain, "void": void}


def _given(action: Action) -> str:
    return CONFIRMED_BEFORE if only_confirmed(action.requirement) else APPROVED_BEFORE


def _all(session: Session, which: Select[Action], to: State, why: Callable[[Action], str], now: datetime) -> int:
    found = list(session.scalars(which.order_by(Action.id)))
    for action in found:
        if action.state == "approved":
            usage.commit(session, action.id, now)  # its amount counts until somebody says that it did not run
        move(session, action, to, now, actor="system", reason=why(action))
    return len(found)


def restored_since(session: Session, at: datetime) -> datetime | None:
    """When a copy was last restored, if that was after this moment."""
    latest = select(Entry.at).where(Entry.kind == audit.RESTORED, Entry.at > at).order_by(Entry.at.desc()).limit(1)
    return session.scalar(latest)
