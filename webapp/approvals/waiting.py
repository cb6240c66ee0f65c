"""Waiting for a decision, and saying where an action stands."""

from __future__ import annotations

import time
from datetime import timedelta

from sqlalchemy.orm import Session

from vault.errors import KeeperError
from webapp.approvals import payloads
from webapp.approvals.outcome import Outcome, Snapshot, link, shows, status_message, unpack
from webapp.approvals.same_call import followed
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action
from webapp.approvals.transitions import topic, touch
from webapp.errors import Missing
from webapp.web.house import House

PENDING = ("held", "executing")
LEAST = 0.05
"""Seconds."""


def wait(house: House, action_id: str, timeout: float) -> Snapshot:
    """Wait, at most `timeout` seconds, until the action may run or has ended; where it stands then.

    `approved`, when it can no longer be stopped, means that the caller should run it: `execution.run`. Another that waits may
    have been first; then wait again.
    """
    house.database.write(lambda s: _announce(s, action_id, timeout, house))
    end = time.monotonic() + timeout
    while True:
        mark = house.database.changes.mark(topic(action_id))
        found = snapshot(house, action_id)
        left = end - time.monotonic()
        if found.action_id != action_id:  # an approver changed its arguments: from here on, of the one in its place
            return wait(house, found.action_id, max(0.0, left))
        still = _stoppable(found, house)
        if (found.state not in PENDING and not still) or left <= 0:
            return found
        house.database.changes.wait(mark, topic(action_id), timeout=min(left, still) if still else left)


def _stoppable(found: Snapshot, house: House) -> float:
    """Seconds for which what was approved can still be stopped: looked at again after that, and never more often than it can
    matter."""
    if found.state != "approved" or found.runs_at is None:
        return 0.0
    seconds = (found.runs_at - house.clock()).total_seconds()
    return max(LEAST, seconds) if seconds > 0 else 0.0


def snapshot(house: House, action_id: str) -> Snapshot:
    """Where the action stands now. Raises Missing; Tampered when its stored result does not verify."""
    with house.database.read() as session:
        asked = session.get(Action, action_id)
        action = followed(session, asked) if asked else None
        result = payloads.stored(session, action.id, "result") if action else None
    if action is None:
        raise Missing("There is no such action.")
    edited = _edited(house, action)
    address = link(house.settings.public_url, action.id)
    said = status_message(action, address, house.clock(), number(house, action))
    message = " ".join(part for part in (edited, said) if part)
    outcome = None
    if action.ended_at is not None or action.state == "uncertain":
        outcome = Outcome(action.id, action.state, error="" if action.state == "done" else message, code=action.reason_code)
        if result is not None and action.state in ("done", "failed"):
            stored = unpack(payloads.open_(house, result, digest=action.digest))
            outcome = Outcome(action.id, action.state, result=stored.result, error="" if stored.result else message)
        elif action.state == "done":
            words = f"{edited} This call ran. Its answer is not kept. {action.reason}".strip()
            outcome = Outcome(action.id, action.state, error=words)
    return Snapshot(action.id, action.state, address, message, outcome, action.runs_at, edited)


def number(house: House, action: Action) -> str:
    """The number that the agent's screen shows, where there is one. It is asked of the keeper each time, and kept nowhere; while
    the keeper is away a call waits without it, and nobody could confirm it either."""
    if not shows(action):
        return ""
    try:
        return house.door.match_number(action=action.id, digest=action.digest)
    except KeeperError:
        return ""


def _edited(house: House, action: Action) -> str:
    """From the document that was decided on: no row says what ran."""
    if action.edit_of is None:
        return ""
    edit = open_(house, action.id).document.envelope["facts"].get("edit") or {}
    rows = "; ".join(f"{one['what']}: {one['before']} is now {one['now']}" for one in edit.get("changes", ()))
    why = edit.get("why", "")
    return f"An approver changed the arguments of this call ({rows}). Why: {why} What runs is the changed call."


def _announce(session: Session, action_id: str, timeout: float, house: House) -> None:
    """The page says whether the agent waits: it runs when it is approved, or when the agent comes back."""
    now = house.clock()
    action = session.get(Action, action_id)
    if action is None or not (action.state == "held" or (action.state == "approved" and action.runs_at and now < action.runs_at)):
        return
    touch(session, action_id, now, waiting_until=now + timedelta(seconds=timeout))
