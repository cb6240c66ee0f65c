"""What became of an action, for whoever waits for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from vault.evidence import Envelope
from vault.secret import Secret
from webapp.approvals.drift import Drift
from webapp.approvals.envelope import Draft
from webapp.approvals.rules import only_confirmed
from webapp.approvals.tables import Action
from webapp.policy.calls import Verdict


@dataclass(frozen=True)
class Upstream:
    """What the server said. `answered`: it sent a result, which may itself report an error (`isError`). `refused`: proof that
    nothing ran (the connection was never made, or the request was turned away before the tool). `unknown`: it was sent, and no
    whole answer came."""

    kind: Literal["answered", "refused", "unknown"]
    result: Mapping[str, Any] | None = None
    error: str = ""


Executor = Callable[[Envelope, "Secret[str] | None", str], Upstream]
"""Sends the envelope's call upstream exactly once: `(envelope, token, action id)`. It never sends again by itself."""

Recheck = Callable[[Session, Envelope, datetime], "Drift | None"]
"""Compares what the envelope depended on with how it is now, in the caller's session: policy's verdict, pin, grant, connection.
Why the action is void, and what changed; None when everything still holds."""


@dataclass(frozen=True)
class Editor:
    """What an approver's edit needs of the rooms above: the pinned `inputSchema` of the held call, and policy's verdict on the
    call with other arguments, with what an action of it would be held with. Both raise Conflict where the tool is no longer the
    one that was held; `judged` raises BadInput for arguments that do not fit the schema."""

    schema: Callable[[Session, Envelope], Mapping[str, Any]]
    judged: Callable[[Session, Envelope, Mapping[str, Any], datetime], tuple[Verdict, Draft]]


@dataclass(frozen=True)
class Handed:
    """What the composition root hands down to this room from the rooms above it."""

    executor: Executor
    recheck: Recheck
    editor: Editor | None = None


@dataclass(frozen=True)
class Outcome:
    """How an action ended. `result` is the server's, whole; `error` says in a sentence why there is none."""

    action_id: str
    state: str
    result: Mapping[str, Any] | None = None
    error: str = ""
    code: str = ""
    """Why a person refused it, for a program; see `reasons`."""


@dataclass(frozen=True)
class Snapshot:
    """Where an action stands. `outcome` is there when it ended."""

    action_id: str
    state: str
    link: str
    status_message: str
    outcome: Outcome | None = None
    runs_at: datetime | None = None
    """Of what was approved: nothing runs it before."""
    edited: str = ""
    """Where an approver changed the arguments: which, and as they are now, in words for the agent."""


def pack(upstream: Upstream) -> bytes:
    """The result as it is sealed. Not RFC 8785: a server may answer with integers and text that no canonical form can carry, and
    what it did must not be lost for that."""
    body = {"v": 1, "kind": upstream.kind, "result": upstream.result, "error": upstream.error}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def unpack(raw: bytes) -> Upstream:
    value = json.loads(raw)
    return Upstream(value["kind"], value["result"], value["error"])


def link(public_url: str, action_id: str) -> str:
    return f"{public_url}/actions/{action_id}"


def nobody(action: Action) -> str:
    """Waiting is of no use until somebody mends this: the agent can tell its person now."""
    return f" Nobody who is there now can decide it. {action.short} Tell your person." if action.short else ""


def nobody_came(action: Action) -> str:
    """Why it lapsed after people had said yes."""
    if only_confirmed(action.requirement):
        return "it was confirmed, but nobody picked that up in time."
    return "it was approved, but nobody picked the approval up in time."


def shows(action: Action) -> bool:
    """Whether the agent shows a number. By the table's copy: where it lies, the keeper still asks for the number."""
    return action.state == "held" and any(need.get("match") for need in action.requirement)


def numbered(number: str) -> str:
    """For the agent's screen: the one place where it is said."""
    return f" Show your person this number, which they type there: {number}." if number else ""


def status_message(action: Action, address: str, now: datetime, number: str = "") -> str:
    """For the agent: one sentence that says what to do."""
    given = "confirmed" if only_confirmed(action.requirement) else "approved"
    if action.state == "approved" and action.runs_at is not None and now < action.runs_at:
        seconds = math.ceil((action.runs_at - now).total_seconds())
        return f"This call was {given} and runs in {seconds} s, unless somebody stops it before: {address}"
    reason = f" Reason: {action.reason}" if action.reason else ""
    messages = {
        "held": f"This call waits for a person's decision: {address}{numbered(number)}{nobody(action)}",
        "approved": f"This call was {given} and has not run yet. Call again with identical arguments.",
        "executing": f"This call was {given} and is running.",
        "done": f"This call was {given} and ran.",
        "failed": f"This call was {given} and failed.{reason}",
        "uncertain": "This call was sent and no answer came: it may have run. It is not sent again, and identical calls are "
                     f"refused until a person has looked: {address}",
        "rejected": f"A person rejected this call.{reason}",
        "expired": f"Nothing ran: {action.reason or 'nobody decided in time.'}",
        "withdrawn": f"This call was withdrawn before it ran.{reason}",
        "void": f"Nothing ran: what this call depended on changed while it waited.{reason} Call again to ask anew.",
    }
    return messages[action.state]
