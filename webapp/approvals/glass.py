"""Break-glass: one of a few whom the keeper's own configuration names passes an action alone.

With a written reason, by passkey, never what is theirs. Everyone who would have decided is told, and an incident stays open until
another admin closes it. Nothing in the database makes anybody one of the few.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from vault.door import Answer, Challenge
from vault.errors import MayNotDecide
from vault.evidence import GLASS_REASON
from webapp import audit
from webapp.approvals import deciding
from webapp.approvals.outcome import Recheck
from webapp.approvals.seeing import Opened, may_pass_alone
from webapp.approvals.tables import Action
from webapp.errors import BadInput, said
from webapp.people import lookup
from webapp.web.house import House
from webapp.web.viewer import Viewer

Incident = Callable[..., str]
"""`incidents.glass.opened`, handed down by the composition root."""


def challenge(house: House, action_id: str, viewer: Viewer, *, shown: str, recheck: Recheck) -> Challenge:
    """Raises Conflict, MayNotDecide."""
    opened = deciding.still(house, action_id, viewer, shown, recheck)
    return house.door.decision_challenge(proof=viewer.proof, envelope=opened.document.raw, verdict="break_glass")


def pass_alone(
    house: House, action_id: str, viewer: Viewer, *, shown: str, reason: str, answer: Answer, recheck: Recheck, incident: Incident
) -> str:
    """The state afterwards. Raises Missing, Conflict, MayNotDecide, FactorRefused, BadInput for a reason that is too short."""
    reason = reason.strip()
    if not GLASS_REASON <= len(reason) <= house.settings.approvals.reason_length:
        raise BadInput(said("Write why nobody else can decide in time, in at least %(least)s characters.", least=GLASS_REASON))
    opened = deciding.still(house, action_id, viewer, shown, recheck)
    if not may_pass_alone(house, opened, viewer):
        raise MayNotDecide
    statement = house.door.decide(
        proof=viewer.proof, envelope=opened.document.raw, verdict="break_glass", reason=reason, answer=answer
    )

    def work(session: Session) -> str:
        now = house.clock()
        state = deciding.record(session, house, opened, statement)
        if state == "withdrawn":  # a decoy: there is nothing to look into
            return state
        action = session.get_one(Action, action_id)
        audit.append(session, kind="action.glass_broken", actor=f"person:{viewer.person}", subject=action_id, at=now,
                     detail={"digest": opened.document.digest, "reason": reason})
        incident(session, action, person=viewer.person, reason=reason, told=_told(session, opened, now), now=now)
        return state

    return house.database.write(work)


def _told(session: Session, opened: Opened, now: datetime) -> frozenset[str]:
    """Everyone who would have decided, and whose account, agent and server it is."""
    parties = opened.document.parties
    groups = {member.id for group in opened.document.groups for member in lookup.members(session, group)}
    return frozenset({*groups, parties.principal, parties.owner, parties.agent_owner, parties.server_owner} - {""})
