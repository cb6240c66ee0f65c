"""Append, and know whether what was appended is in a signed checkpoint.

The contract: an entry is written in the transaction of what it records, before that takes effect, and what happened is
written before the answer leaves. If the entry cannot be written, nothing happens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from webapp.audit.sequencer import TOPIC, sequence
from webapp.audit.tables import Checkpoint, Entry
from webapp.audit.whose import whose
from webapp.canonical import canonical
from webapp.db.direct import Made, Where, direct
from webapp.errors import LogStalled
from webapp.ids import new_id
from webapp.web.house import House

INSERT = Made(insert(Entry.__table__), ("id", "at", "kind", "actor", "subject", "body", "about"))  # type: ignore[arg-type]
RESTORED = "instance.restored"
"""The kind of the entry that a restore leaves."""
STALLED = "The audit log is not being signed. Nothing that was held will run until it is; nothing was lost."


def append(
    session: Where, *, kind: str, actor: str, subject: str, detail: Mapping[str, Any], at: datetime
) -> str:
    """Write one entry in the caller's transaction and return its id.

    `kind` is `room.event`; `actor` is `person:<id>`, `client:<id>`, `system`, `evaluation` or `cli`. `detail` holds digests
    in place of arguments, and never a secret.
    """
    entry = new_id("ent")
    body = canonical({
        "v": 1, "id": entry, "at": at.isoformat(timespec="microseconds"), "kind": kind, "actor": actor, "subject": subject,
        "detail": dict(detail),
    })
    direct(session).run(INSERT, {
        "id": entry, "at": at, "kind": kind, "actor": actor, "subject": subject, "body": body,
        "about": whose(kind, actor, subject, detail),
    })
    return entry


def covered(house: House, entries: str | list[str], timeout: float) -> None:
    """Wait, at most `timeout` seconds, until a signed checkpoint covers these entries. Raises LogStalled.

    Whoever waits sequences: a decision is not held up by a worker that is away."""
    wanted = [entries] if isinstance(entries, str) else entries
    end = time.monotonic() + timeout
    while True:
        mark = house.database.changes.mark(TOPIC)
        sequence(house)
        if _is_covered(house, wanted):
            return
        left = end - time.monotonic()
        if left <= 0:
            raise LogStalled(STALLED, detail=f"not covered: {wanted}")
        house.database.changes.wait(mark, TOPIC, timeout=min(left, 0.5))


def _is_covered(house: House, entries: list[str]) -> bool:
    with house.database.read() as session:
        size = session.scalar(select(Checkpoint.size).order_by(Checkpoint.size.desc()).limit(1)) or 0
        found = session.scalars(select(Entry.place).where(Entry.id.in_(entries), Entry.place < size)).all()
    return len(found) == len(set(entries))


def require_flowing(session: Session, now: datetime, limit: int) -> None:
    """Raise LogStalled when an entry has waited longer than `limit` seconds for a checkpoint."""
    size = session.scalar(select(Checkpoint.size).order_by(Checkpoint.size.desc()).limit(1)) or 0
    late = now - timedelta(seconds=limit)
    waiting = select(Entry.id).where((Entry.place.is_(None)) | (Entry.place >= size), Entry.at < late).limit(1)
    if session.scalar(waiting) is not None:
        raise LogStalled(STALLED)
