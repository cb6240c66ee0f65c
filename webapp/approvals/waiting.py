"""Waiting for a decision, and saying where an action stands."""

from __future__ import annotations

import time
from datetime import timedelta

from sqlalchemy.orm import Session

from webapp.approvals import payloads
from webapp.approvals.outcome import Outcome, Snapshot, link, status_message, unpack
from webapp.approvals.tables import Action
from webapp.approvals.transitions import topic, touch
from webapp.errors import Missing
from webapp.web.house import House

PENDING = ("held", "executing")


def wait(house: House, action_id: str, timeout: float) -> Snapshot:
    """Wait, at most `timeout` seconds, until the action is approved or has ended; where it stands then.

    `approved` means that the caller should run it: `execution.run`. Another that waits may have been first; then wait again.
    """
    house.database.write(lambda s: _announce(s, action_id, timeout, house))
    end = time.monotonic() + timeout
    while True:
        mark = house.database.changes.mark(topic(action_id))
        found = snapshot(house, action_id)
        left = end - time.monotonic()
        if found.state not in PENDING or left <= 0:
            return found
        house.database.changes.wait(mark, topic(action_id), timeout=left)


def snapshot(house: House, action_id: str) -> Snapshot:
    """Where the action stands now. Raises Missing; Tampered when its stored result does not verify."""
    with house.database.read() as session:
        action = session.get(Action, action_id)
        result = payloads.stored(session, action_id, "result") if action else None
    if action is None:
        raise Missing("There is no such action.")
    address = link(house.settings.public_url, action.id)
    message = status_message(action, address)
    outcome = None
    if action.ended_at is not None or action.state == "uncertain":
        outcome = Outcome(action.id, action.state, error="" if action.state == "done" else message, code=action.reason_code)
        if result is not None and action.state in ("done", "failed"):
            stored = unpack(payloads.open_(house, result, digest=action.digest))
            outcome = Outcome(action.id, action.state, result=stored.result, error="" if stored.result else message)
        elif action.state == "done":
            outcome = Outcome(action.id, action.state, error=f"This call ran. Its answer is not kept. {action.reason}".strip())
    return Snapshot(action.id, action.state, address, message, outcome)


def _announce(session: Session, action_id: str, timeout: float, house: House) -> None:
    """The page says whether the agent waits: it runs when it is approved, or when the agent comes back."""
    now = house.clock()
    action = session.get(Action, action_id)
    if action is None or action.state != "held":
        return
    touch(session, action_id, now, waiting_until=now + timedelta(seconds=timeout))
