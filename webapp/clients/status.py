"""What an admin says of a client: vouched for or not; active, paused, or revoked for good.

A paused or revoked client's tokens are refused from the next request on, because each check of a token reads this status.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients import certificates, keys
from webapp.clients.lookup import get
from webapp.clients.tables import Client
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import BadInput, Conflict, psaid, said

SHUT_OUT = "clients.shut_out"
"""The due row, by client, that ends what a token client holds of people's accounts and may no longer: one that was revoked or
paused, or that may ask for less."""

STATUS = {
    "active": psaid("an agent is", "active"), "paused": psaid("an agent is", "paused"),
    "revoked": psaid("an agent is", "revoked"),
}

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
    allowed = [Client.id == client_id, Client.status.in_(before), *([Client.suspended == ""] if what == "resume" else [])]
    done = session.execute(update(Client).where(*allowed).values(**values))
    if changed(done) != 1:
        if client.suspended and what == "resume":
            page = f"/incidents/{client.suspended}"
            raise Conflict(said("This agent may be compromised. It is resumed on the incident's page, %(page)s.", page=page))
        raise Conflict(said(
            "This agent is %(status)s; that cannot be changed in this way.", status=STATUS[client.status]
        ))
    session.refresh(client)
    if what == "revoke":
        certificates.revoke_all(session, client_id, actor=actor, now=now)
    if what in ("pause", "revoke") and client.kind == "token":
        enqueue(session, SHUT_OUT, client_id, now)
    audit.append(session, kind=kind, actor=actor, subject=client.id, at=now, detail={"name": client.name})
    return client


def suspend(session: Session, client_id: str, incident: str, *, actor: str, now: datetime) -> str:
    """Pause a client for as long as an incident lasts, whatever it was before; what it was. Raises Missing, Conflict when it is
    suspended already."""
    client = get(session, client_id)
    before = client.status
    done = session.execute(
        update(Client).where(Client.id == client_id, Client.suspended == "", Client.status == before)
        .values(suspended=incident, status="revoked" if before == "revoked" else "paused"),
        execution_options={"synchronize_session": False},
    )
    if changed(done) != 1:
        raise Conflict("This agent is suspended already, or has changed meanwhile.")
    session.expire(client)
    if client.kind == "token":
        enqueue(session, SHUT_OUT, client_id, now)
    audit.append(session, kind="client.suspended", actor=actor, subject=client_id, at=now, detail={"incident": incident})
    return before


def end_proofs(session: Session, client_id: str, *, actor: str, now: datetime) -> None:
    """Its certificates and keys, for good: whoever may have had them is not let in when it comes back. It gets a new one."""
    certificates.revoke_all(session, client_id, actor=actor, now=now)
    keys.end_all(session, client_id, actor=actor, now=now)


def lift(session: Session, client_id: str, incident: str, before: str) -> None:
    """The incident no longer holds it: it is `active` again, if it was, unless an admin revoked it meanwhile."""
    mine = (Client.id == client_id, Client.suspended == incident)
    if before == "active":
        session.execute(update(Client).where(*mine, Client.status == "paused").values(status="active"))
    session.execute(update(Client).where(*mine).values(suspended=""))
