"""Escalation: from times on that the rule named, members of other groups may decide in the place of the one that was asked.

Who may is in the signed document, and the keeper reads it there. Here those people only get to see the action.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from vault.evidence import others_of
from webapp import audit
from webapp.approvals.tables import Action, ActionGroup
from webapp.approvals.transitions import touch
from webapp.db.once import insert_once


def step(session: Session, action: Action, now: datetime) -> datetime | None:
    """Show a held action to the groups whose time has come; when the next one's comes."""
    following: datetime | None = None
    for group, steps in others_of(action.requirement, action.created_at).items():
        for other, at in steps:
            if now < at:
                following = min(following or at, at)
            elif insert_once(session, ActionGroup, action=action.id, name=other):
                touch(session, action.id, now)
                audit.append(session, kind="action.escalated", actor="system", subject=action.id, at=now,
                             detail={"digest": action.digest, "from": group, "to": other})
    return following
