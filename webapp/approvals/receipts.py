"""The receipt of one action: everything that shows, without this server, what was decided on it and by whom.

The file holds what was signed and nothing beside it: the canonical document, the keeper's statements with what the passkeys
signed, the log's entries with their proofs under one signed head, and the public keys. `receipt_check` says what each shows.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from vault.evidence import Statement, canonical
from webapp import audit
from webapp.approvals import decisions
from webapp.approvals.decoys import telling
from webapp.approvals.receipt_shape import FORMAT, MOST
from webapp.approvals.rules import STATES
from webapp.approvals.seeing import Opened, open_for
from webapp.audit import merkle
from webapp.audit.sequencer import node_at
from webapp.audit.tables import Checkpoint, Entry
from webapp.errors import Conflict
from webapp.web.house import House
from webapp.web.viewer import Viewer

KINDS = ("action.decided", *(f"action.{state}" for state in STATES))
FORGED = "Some of the stored decisions do not verify. There is no receipt of that; an operator should look."
WAIT = 5.0
"""Seconds for the log's head to be signed over what it is about."""


def receipt(house: House, action_id: str, viewer: Viewer, *, arguments: bool = True) -> bytes:
    """The receipt as canonical JSON, for whoever may see the action; without `arguments` it names the document by its digest
    alone. Taking one is recorded. Raises Missing, Tampered, KeeperError, LogStalled, Conflict."""
    opened = open_for(house, action_id, viewer)
    if opened.verified.forged:
        raise Conflict(FORGED)
    if telling.was_decoy(house, opened):
        raise Conflict("This was a decoy: there is no receipt of what nobody asked for.")
    known = house.door.audit_keys()
    audit.covered(house, _recorded(house, action_id), WAIT)
    with house.database.read() as session:
        head = session.scalars(select(Checkpoint).order_by(Checkpoint.size.desc()).limit(1)).one()
        under = session.scalars(_entries(action_id).where(Entry.place < head.size)).all()
        proven = _proven(session, under, head.size)
        statements = _statements(session, opened, {one.id for one in under})
    house.database.write(lambda s: audit.append(
        s, kind="receipt.taken", actor=f"person:{viewer.person}", subject=action_id, at=house.clock(),
        detail={"digest": opened.document.digest, "arguments": arguments},
    ))
    return canonical({
        "format": FORMAT, "action": action_id, "digest": opened.document.digest,
        **({"envelope": opened.document.raw.decode()} if arguments else {}),
        "decisions": [{"body": one.body, "signature": one.signature} for one in statements], "entries": proven,
        "checkpoint": head.note,
        "keys": {"log": list(known), "authority": [dict(one) for one in house.door.authority_keys()]},
    })


def _entries(action_id: str) -> Select[Entry]:
    return select(Entry).where(Entry.subject == action_id, Entry.kind.in_(KINDS)).order_by(Entry.place).limit(MOST)


def _recorded(house: House, action_id: str) -> list[str]:
    with house.database.read() as session:
        return [one.id for one in session.scalars(_entries(action_id))]


def _proven(session: Session, entries: Sequence[Entry], size: int) -> list[dict[str, Any]]:
    """Each entry with its proof under the head of this size."""
    nodes = node_at(session)
    return [
        {"body": one.body.decode(), "index": one.place,
         "proof": [base64.b64encode(node).decode() for node in merkle.inclusion(one.place or 0, size, nodes)]}
        for one in entries
    ]


def _statements(session: Session, opened: Opened, covered: set[str]) -> list[Statement]:
    """Those whose entry the head covers: one more may have come since. Read after the entries, which are written with them."""
    rows = [row for row in decisions.stored(session, opened.action.id) if row.entry in covered]
    found = decisions.verify(
        rows, expected_action=opened.action.id, expected_digest=opened.document.digest, keys=opened.keys
    )
    if found.forged:
        raise Conflict(FORGED)
    return list(found.statements)
