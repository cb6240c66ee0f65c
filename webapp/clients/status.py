"""What an admin says of a client: vouched for or not; active, paused, or revoked for good.

A paused or revoked client's tokens are refused from the next request on, because each check of a token reads this status.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients import certificates
from webapp.clients.lookup import get
from webapp.clients.tables import Client
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import BadInput, Conflict

SHUT_OUT = "clients.shut_out"
"""The due row, by client, that ends what a token client holds of people's accounts and may no longer: one that was revoked or
paused, or that may ask for less."""

Change = Literal["vouch", "unvouch", "pause", "resume", "revoke"]

# From which status, to which values, and what the log calls it. Revoked is terminal.
CHANGES: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "vouch": (("active", "paused"), {"verified": True}, "client.vouched"),
    "unvouch": (("active", "paused"), {"verified": False}, "client.unvouched"),
    "pause": (("active",), {"status": "paused"}, "client.paused"),
    "resume": (("paused",), {"status": "active"}, "client.resumed"),
    "revoke": (("active", "paused"), {"status": "revoked", "verified": False}, "client.revoked"),
}


def change(session: Session, client_id: str, what: str, *, actor: str, now: datetime) -> Client:
    """Make one change, or raise Missing, BadInput (no such change) or Conflict (its status does not allow it any more)."""
    if what not in CHANGES:
        raise BadInput("An agent is vouched for, paused, resumed or revoked; nothing else.")
    before, values, kind = CHANGES[what]
    client = get(session, client_id)
    done = session.execute(update(Client).where(Client.id == client_id, Client.status.in_(before)).values(**values))
    if changed(done) != 1:
        raise Conflict(f"This agent is {client.status}; that cannot be changed in this way.")
    session.refresh(client)
    if what == "revoke":
        certificates.revoke_all(session, client_id, actor=actor, now=now)
    if what in ("pause", "revoke") and client.kind == "token":
        enqueue(session, SHUT_OUT, client_id, now)
    audit.append(session, kind=kind, actor=actor, subject=client.id, at=now, detail={"name": client.name})
    return client
