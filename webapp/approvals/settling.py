"""The end of an execution: its outcome is sealed, its state, lease and caps are settled, and the log says what happened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.orm import Session

from webapp.approvals import usage
from webapp.approvals.envelope import Document
from webapp.approvals.outcome import Upstream, pack
from webapp.approvals.payloads import Sealer, stored
from webapp.approvals.seeing import Opened
from webapp.approvals.tables import Action
from webapp.approvals.transitions import move
from webapp.broker import leases
from webapp.broker.tables import Lease
from webapp.db.due import enqueue
from webapp.errors import Conflict
from webapp.web.house import House

SERVER_SAID_NO = "the server answered with an error."


@dataclass(frozen=True)
class Ended:
    """An answer that reports an error is a failure, but no proof that nothing ran: its caps stay used."""

    state: Literal["done", "failed", "uncertain"]
    upstream: Upstream

    @classmethod
    def of(cls, answer: Upstream) -> Ended:
        if answer.kind == "unknown":
            return cls("uncertain", answer)
        failed = answer.kind == "refused" or bool((answer.result or {}).get("isError"))
        return cls("failed" if failed else "done", answer)

    @property
    def reason(self) -> str:
        if self.state == "done":
            return ""
        return self.upstream.error or (SERVER_SAID_NO if self.state == "failed" else "no answer came.")


def settle(
    session: Session, house: House, opened: Opened, fence: str, lease: Lease | None, sealer: Sealer, ended: Ended
) -> None:
    """Write the end down, once, if this run still has the action. An answer that comes after the sweep called it uncertain is
    still the answer; one that comes after a person closed it is not."""
    now = house.clock()
    action = session.get(Action, opened.action.id, with_for_update=True)
    if action is None or action.run != fence or action.state not in ("executing", "uncertain"):
        raise Conflict("This execution no longer has the action.", detail=opened.action.id)
    if lease is not None:
        leases.close(session, lease.id, ended.state, now)
    if action.state == "uncertain" and ended.state == "uncertain":
        return
    packed = pack(ended.upstream)
    if ended.upstream.result is not None and stored(session, action.id, "result") is None:
        session.add(sealer.seal(action=action.id, direction="result", digest=action.digest, plaintext=packed))
    move(
        session, action, ended.state, now, actor="system", reason=ended.reason,
        detail={"run": fence, "answer": ended.upstream.kind, "result": hashlib.sha256(packed).hexdigest()},
    )
    enqueue(session, "approvals.clean", action.id, now + timedelta(seconds=house.settings.approvals.result_kept))
    if ended.upstream.kind == "refused":
        usage.release(session, action.id)
    elif ended.state == "done":
        remember(session, action, opened.document, now)


def remember(session: Session, action: Action, document: Document, now: datetime) -> None:
    usage.remember_recipient(
        session, action, recipient=document.recipient, shown_as=document.recipient_shown, base_minor=document.base_minor, now=now
    )
