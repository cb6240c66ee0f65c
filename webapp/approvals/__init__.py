"""The approvers' room: actions that policy holds, what people decide on them, and their execution.

`hold` and `same` for the gateway's call, `wait` for the leg that waits, `run` for who executes; `Handed` is what the composition
root hands down: the executor and the recheck, which come from rooms above this one.
"""

from webapp.approvals.envelope import Draft, digest_arguments, facts_document
from webapp.approvals.holding import CallKey, Existing, Held, hold, same
from webapp.approvals.outcome import Executor, Handed, Outcome, Recheck, Snapshot, Upstream
from webapp.approvals.payloads import Sealer, Tampered, sealer
from webapp.approvals.waiting import snapshot, wait

__all__ = [
    "CallKey",
    "Draft",
    "Executor",
    "Existing",
    "Handed",
    "Held",
    "Outcome",
    "Recheck",
    "Sealer",
    "Snapshot",
    "Tampered",
    "Upstream",
    "digest_arguments",
    "facts_document",
    "hold",
    "same",
    "sealer",
    "snapshot",
    "wait",
]
