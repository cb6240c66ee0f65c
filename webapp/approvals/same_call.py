"""The same call again: one action answers it until its outcome was delivered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from webapp.approvals.rules import LIVE
from webapp.approvals.tables import Action
from webapp.config_approvals import Approvals
from webapp.db.direct import Made, Where, direct

What = Literal["join", "answer", "refuse"]


@dataclass(frozen=True)
class Existing:
    """`join`: it waits or runs, wait with it (and run it, if it is approved). `answer`: it ended, give its outcome.
    `refuse`: it is uncertain, nothing like it runs until a person closes it."""

    action_id: str
    state: str
    what: What


@dataclass(frozen=True)
class CallKey:
    person: str
    grant: str
    server: str
    tool: str
    arguments: str
    """Digest of the canonical arguments."""


EDITS = 50
"""Edits of edits that are followed."""
THE_CALL = (
    Action.person == bindparam("person"), Action.grant_id == bindparam("grant"), Action.server == bindparam("server"),
    Action.tool == bindparam("tool"), Action.arguments == bindparam("arguments"),
)
KNOWN = Made(select(Action.id).where(*THE_CALL).limit(1))
LIVE_ONE = select(Action).where(*THE_CALL, Action.state.in_(LIVE))
LAST_ONE = select(Action).where(*THE_CALL).order_by(Action.created_at.desc(), Action.id.desc()).limit(1)


def held_before(where: Where, key: CallKey) -> bool:
    """Whether this call was ever held. Most never were, and every call asks."""
    return direct(where).row(KNOWN, asdict(key)) is not None


def last(session: Session, key: CallKey) -> Action | None:
    """The last action with this call, whatever became of it. A live one comes first: there is at most one."""
    asked = asdict(key)
    if not held_before(session, key):
        return None
    return session.scalar(LIVE_ONE, asked) or session.scalar(LAST_ONE, asked)


def same(session: Session, key: CallKey, now: datetime, settings: Approvals) -> Existing | None:
    """The action that answers this call; None when it has to be judged (and held) anew."""
    found = last(session, key)
    if found is None:
        return None
    action = followed(session, found)
    what = answers(action, now, settings)
    return Existing(action.id, action.state, what) if what else None


def followed(session: Session, action: Action) -> Action:
    """Where an approver changed the arguments: the action that waits in its place, which answers the call until it was delivered.
    Both rows say so, and are of the same call but for its arguments."""
    for _ in range(EDITS):
        following = session.get(Action, action.replaced_by) if action.state == "void" and action.replaced_by else None
        if following is None or following.edit_of != action.id or _whose(following) != _whose(action):
            break
        action = following
    return action


def _whose(action: Action) -> tuple[str, ...]:
    return action.person, action.grant_id, action.server, action.tool


def answers(action: Action, now: datetime, settings: Approvals) -> What | None:
    """Concurrent calls join; what was not delivered yet is delivered; a rejection stays for a while; drift holds a new one."""
    if action.state == "uncertain":
        return "refuse"
    if action.state in LIVE:
        return "join"
    if action.state == "rejected" and action.ended_at and now - action.ended_at < timedelta(seconds=settings.rejected_stays):
        return "answer"
    undelivered = action.delivered_at is None and action.state != "void"
    kept = action.ended_at is not None and now - action.ended_at < timedelta(seconds=settings.result_kept)
    return "answer" if undelivered and kept else None
