"""The tasks extension (`io.modelcontextprotocol/tasks`, SEP-2663): a held call as a task that the client polls.

A task id is the action's. It works for the principal who called, at the server that was called, and for nobody else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select

from webapp.approvals import waiting
from webapp.approvals.outcome import Snapshot
from webapp.approvals.tables import Action
from webapp.gateway.eras import TASKS, Ask, complete
from webapp.gateway.outcomes import deliver, settled, withdraw
from webapp.gateway.room import Room
from webapp.gateway.wire import INVALID_PARAMS, MISSING_CAPABILITY, Json, Result, RpcError, Step

STATUS: Final = {"held": "working", "approved": "working", "executing": "working", "withdrawn": "cancelled"}
"""Every other state is `completed`: its result, or an error result that says what became of it."""


def created(room: Room, ask: Ask, found: Snapshot) -> Json:
    """The handle in place of a result. The action is durable already: a poll for it finds it."""
    return complete(ask, {"resultType": "task", **_task(room, _find(room, ask, found.action_id), found)})


def get(room: Room, ask: Ask) -> Step:
    """Where the task stands; its result, when it has one. That counts as delivered once it was written. An action that was held
    by a call without tasks and approved while nobody waited is run by this poll: it is the agent's coming back."""
    action = _find(room, ask, _task_id(ask))
    found = waiting.snapshot(room.house, action.id)
    if found.state == "approved" and action.runs == "return":
        found = settled(room, found)
    body = _task(room, action, found)
    if body["status"] != "completed":
        yield Result(complete(ask, body))
        return
    result = deliver(room, ask, found)
    yield Result(complete(ask, {**body, "result": result.body}), written=result.written)


def update(room: Room, ask: Ask) -> Step:
    """No input is ever asked for in a task, so every answer is to a key that is not outstanding, and is ignored."""
    _find(room, ask, _task_id(ask))
    ask.object("inputResponses")
    yield Result(complete(ask, {}))


def cancel(room: Room, ask: Ask) -> Step:
    """Taken back if it has not begun; the acknowledgement is the same either way."""
    action = _find(room, ask, _task_id(ask))
    withdraw(room, ask, action.id, "the agent cancelled its call.")
    yield Result(complete(ask, {}))


def _task_id(ask: Ask) -> str:
    if not ask.tasks:
        data: Json = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        raise RpcError(MISSING_CAPABILITY, "Missing required client capability", data=data)
    return ask.required("taskId")


def _find(room: Room, ask: Ask, task_id: str) -> Action:
    """A stranger's task and no task look alike: -32602."""
    caller = ask.caller
    with room.house.database.read() as session:
        action = session.scalar(select(Action).where(
            Action.id == task_id, Action.person == caller.person, Action.grant_id == caller.grant, Action.server == ask.server,
        ))
    if action is None:
        raise RpcError(INVALID_PARAMS, "There is no such task.")
    return action


def _task(room: Room, action: Action, found: Snapshot) -> Json:
    kept = room.house.settings.approvals.result_kept
    return {
        "taskId": action.id, "status": STATUS.get(found.state, "completed"), "statusMessage": found.status_message,
        "createdAt": _stamp(action.created_at),
        "lastUpdatedAt": _stamp(action.ended_at or action.started_at or action.decided_at or action.created_at),
        "ttlMs": int((action.expires_at - action.created_at).total_seconds() + kept) * 1000,
        "pollIntervalMs": room.house.settings.gateway.poll_interval_ms,
    }


def _stamp(when: datetime) -> str:
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
