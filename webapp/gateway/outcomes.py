"""What becomes of a held call, as the agent gets it: run when approved, delivered once, taken back when the agent cancels."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy.orm import Session

from webapp.approvals import execution, waiting
from webapp.approvals.outcome import Outcome, Snapshot
from webapp.approvals.rules import WAITING
from webapp.approvals.same_call import followed
from webapp.approvals.tables import Action
from webapp.approvals.transitions import move
from webapp.errors import Conflict
from webapp.gateway.eras import Ask, complete
from webapp.gateway.executing import error_result
from webapp.gateway.room import Room
from webapp.gateway.wire import Json, Result

log = logging.getLogger("counterseal.gateway")

ACTION: Final = "counterseal/action"
REASON: Final = "counterseal/reason"
"""Why a person refused it, as a code beside the words."""


def settled(room: Room, found: Snapshot) -> Snapshot:
    """An approved call is run by whoever waits for it; where another was first, this one goes on waiting."""
    if found.state != "approved":
        return found
    try:
        execution.run(room.house, found.action_id, room.handed.executor, room.handed.recheck)
    except Conflict as error:
        log.info("not run here: %s", error.detail)
    return waiting.snapshot(room.house, found.action_id)


def deliver(room: Room, ask: Ask, found: Snapshot) -> Result:
    """The outcome. It counts as delivered once it was written whole."""
    body = complete(ask, outcome_result(found))
    written = None if found.state == "uncertain" else (lambda: _delivered(room, found.action_id))
    return Result(body, written=written)


def outcome_result(found: Snapshot) -> Json:
    """A server's result as it was; everything else as an error result in our own words."""
    outcome = found.outcome or Outcome(found.action_id, found.state, error=found.status_message)
    result = dict(outcome.result) if outcome.result is not None else error_result(outcome.error or found.status_message)
    if found.edited and outcome.result is not None:
        content = result.get("content")
        said = {"type": "text", "text": found.edited.replace("What runs is", "What ran is")}
        result = {**result, "content": [said, *(content if isinstance(content, list) else [])]}
    refused = {REASON: outcome.code} if outcome.code else {}
    return {**result, "_meta": {**(result.get("_meta") or {}), ACTION: found.action_id, **refused}}


def _delivered(room: Room, action_id: str) -> None:
    room.house.database.write(lambda s: execution.delivered(s, action_id, room.house.clock()))


def withdraw(room: Room, ask: Ask, action_id: str, why: str) -> None:
    """The agent takes its call back. Too late once it runs, and nothing to do once it ended."""

    def take_back(session: Session) -> None:
        asked = session.get(Action, action_id)
        found = followed(session, asked) if asked is not None else None
        action = session.get(Action, found.id, with_for_update=True, populate_existing=True) if found is not None else None
        if action is not None and action.state in WAITING:
            move(session, action, "withdrawn", room.house.clock(), actor=f"client:{ask.caller.client}", reason=why)

    try:
        room.house.database.write(take_back)
    except Conflict as error:
        log.info("not withdrawn: %s", error.detail)
