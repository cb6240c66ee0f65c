"""Stopping what was approved, in the seconds before it runs: one button, no factor, for whoever may say no or whose it is."""

from __future__ import annotations

from vault.errors import MayNotDecide
from webapp.approvals import reasons
from webapp.approvals.deciding import CHANGED, reject, withdraw
from webapp.approvals.rules import may_reject
from webapp.approvals.seeing import open_for
from webapp.errors import Conflict, said
from webapp.web.house import House
from webapp.web.viewer import Viewer

STOPPED = said("Stopped before it ran.")


def stop(house: House, action_id: str, viewer: Viewer, *, shown: str) -> None:
    """A signed rejection of whoever may give one: from then on the keeper mints nothing for it, whatever the database says. A
    withdrawal of whose it is otherwise. Raises Conflict when it is too late, MayNotDecide."""
    opened = open_for(house, action_id, viewer)
    if opened.action.state != "approved":
        raise Conflict(CHANGED)
    parties = opened.document.parties
    speaks_for = opened.speaker(viewer, house.clock()).groups
    if may_reject(opened.document.requirement, parties, viewer.person, speaks_for):
        reject(house, action_id, viewer, shown=shown, reason=STOPPED, code=reasons.STOPPED)
    elif parties.includes(viewer.person):
        withdraw(house, action_id, viewer)
    else:
        raise MayNotDecide
