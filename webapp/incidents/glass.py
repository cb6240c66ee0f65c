"""The incident that break-glass leaves: nothing is suspended, those who would have decided are told, another admin closes it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.tables import Action
from webapp.ids import new_id
from webapp.incidents.rules import GLASS, words
from webapp.incidents.tables import Incident, IncidentNotice


def opened(
    session: Session, action: Action, *, person: str, reason: str, told: frozenset[str], now: datetime
) -> str:
    """In the transaction that records the decision; the incident's id. It is about whoever did it: they do not close it. It
    comes lifted: there is nothing to resume."""
    incident, actor = new_id("inc"), f"person:{person}"
    session.add(Incident(
        id=incident, kind=GLASS, subject=action.id, name=f"{action.tool_title}, {action.server_title}"[:200], person=person,
        reason=words(reason), before="", radius={"parts": [], "by_hand": []}, opened_at=now, opened_by=actor,
        lifted_at=now, lifted_by=actor, closed_at=None, closed_by=None,
    ))
    session.flush()
    session.add_all(IncidentNotice(incident=incident, person=one, dismissed_at=None) for one in sorted(told - {person}))
    audit.append(session, kind="incident.opened", actor=actor, subject=incident, at=now,
                 detail={"kind": GLASS, "about": action.id, "reason": reason, "told": len(told - {person})})
    return incident
