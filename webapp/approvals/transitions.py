"""Moving an action from one state to the next: a conditional UPDATE, its audit entry and who is told, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import usage
from webapp.approvals.rules import LIVE, State, may_become
from webapp.approvals.tables import Action
from webapp.db.direct import Made, direct
from webapp.errors import Conflict

REASON = 500
QUEUE = "queue"
LATEST = Made(select(func.max(Action.changed_at)))
NOTHING_RAN = ("rejected", "expired", "withdrawn", "void")


def topic(action_id: str) -> str:
    return f"action:{action_id}"


def tell(session: Session, action_id: str) -> None:
    """Wake those who look at the queue or wait for this action, once the transaction has committed."""
    session.info.setdefault("topics", set()).update((QUEUE, topic(action_id)))


def tick(session: Session, now: datetime) -> datetime:
    """A time later than any change before it, also where clocks differ or stand still: what live pages compare."""
    session.flush()
    row = direct(session).row(LATEST)
    latest = row[0] if row else None
    return now if latest is None or latest < now else latest + timedelta(microseconds=1)


def touch(session: Session, action_id: str, now: datetime, **values: Any) -> None:
    """Write something that pages show, but no change of state; and wake them."""
    session.execute(
        update(Action).where(Action.id == action_id).values(changed_at=tick(session, now), **values),
        execution_options={"synchronize_session": False},
    )
    tell(session, action_id)


def move(
    session: Session, action: Action, to: State, now: datetime, *, actor: str, reason: str = "",
    detail: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None,
) -> str:
    """Take the action from the state it was read in to `to`; the audit entry's id. Raises Conflict when somebody was first."""
    if not may_become(action.state, to):
        raise Conflict("This action is no longer in a state that allows this.", detail=f"{action.id}: {action.state} to {to}")
    changes: dict[str, Any] = {"state": to, "changed_at": tick(session, now), **(values or {})}
    if to not in LIVE:
        changes |= {"ended_at": now, "ended_by": actor}
    if reason:
        changes["reason"] = reason[:REASON]
    moved, digest = action.id, action.digest  # afterwards the row is no longer known, and would be read again
    conditionally(session, action, changes)
    if to in NOTHING_RAN:
        usage.release(session, moved)
    tell(session, moved)
    return audit.append(
        session, kind=f"action.{to}", actor=actor, subject=moved, at=now,
        detail={"digest": digest, **({"reason": reason[:REASON]} if reason else {}), **(detail or {})},
    )


def conditionally(session: Session, action: Action, values: Mapping[str, Any]) -> None:
    """Write, if the row is still in the state, and in the execution, that it was read in. Raises Conflict otherwise."""
    done = session.execute(
        update(Action)
        .where(Action.id == action.id, Action.state == action.state, Action.digest == action.digest,
               Action.run.is_not_distinct_from(action.run), Action.run_by.is_not_distinct_from(action.run_by))
        .values(**values),
        execution_options={"synchronize_session": False},
    )
    if cast("CursorResult[object]", done).rowcount != 1:
        raise Conflict("Somebody else was first: this action has changed since you looked.", detail=action.id)
    session.expire(action)
