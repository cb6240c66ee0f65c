"""Planning a lease, minting its token, closing it.

The plan is written in the transaction that says what is about to happen; only then is the keeper asked (promise 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from vault.door import Evidence, Minted
from vault.errors import NeedsConsent
from webapp import audit
from webapp.broker.tables import Lease
from webapp.connections import lookup, states
from webapp.connections.tables import Connection, Revocation
from webapp.db.direct import Made, Where, copied, direct, session_of
from webapp.db.due import enqueue
from webapp.db.once import insert_once
from webapp.errors import Conflict
from webapp.ids import new_id
from webapp.web.house import House

END = "broker.end_lease"
GRACE = timedelta(seconds=60)
"""An exclusive token whose call was never closed (the process died) is ended so long after its lease."""


# Made once: every call plans and closes a lease.
INSERT = Made(insert(Lease.__table__), tuple(Lease.__table__.columns.keys()))  # type: ignore[arg-type]
CLOSE = Made(
    update(Lease).where(Lease.id == bindparam("lease_id"), Lease.state == "planned")
    .values(state="closed", outcome=bindparam("how"), closed_at=bindparam("at")).returning(Lease.exclusive, Lease.ref)
)


def plan(
    session: Where, *, connection: Connection, scopes: Sequence[str], person: str, client: str, grant: str, server: str,
    tool: str, action: str | None, exclusive: bool, cap: int, now: datetime, consent: str = "", actors: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> Lease:
    """The lease of one call, in the caller's transaction. `cap` is the longest it may live, in seconds; `more` is what its entry
    says besides. Raises Conflict for a connection of somebody else: the caller mixed them up."""
    if connection.person != person:
        raise Conflict("This account belongs to somebody else.")
    values = {
        "id": new_id("lea"), "connection": connection.id, "person": person, "client": client, "grant": grant, "server": server,
        "tool": tool, "action": action, "scopes": sorted(set(scopes)), "exclusive": exclusive or action is not None, "cap": cap,
        "state": "planned", "outcome": "", "ref": "", "planned_at": now, "until": now + timedelta(seconds=cap), "closed_at": None,
        "consent": consent, "actors": list(actors),
    }
    direct(session).run(INSERT, values)
    lease = copied(Lease, values)
    lookup.used(session, connection.id, now)
    detail = {
        "connection": lease.connection, "scopes": lease.scopes, "server": server, "tool": tool, "action": action,
        "exclusive": lease.exclusive, "until": lease.until.isoformat(timespec="seconds"),
        **({"consent": consent, "actors": lease.actors} if consent else {}), **(more or {}),
    }
    audit.append(session, kind="lease.planned", actor=f"client:{client}", subject=lease.id, detail=detail, at=now)
    return lease


def mint(house: House, lease: Lease, evidence: Evidence | None = None) -> Minted:
    """The token of a planned lease. Asks the keeper alone; an exclusive token's name is noted afterwards, so that it is ended
    even
    if this process dies with it. Raises the keeper's errors; when the grant is over, the person's page says so."""
    try:
        minted = house.door.mint(
            connection=lease.connection, person=lease.person, scopes=lease.scopes, receiver=lease.server, cap=lease.cap,
            exclusive=lease.exclusive, evidence=evidence,
        )
    except NeedsConsent as error:
        hint = error.hint
        house.database.write(lambda s: states.needs_consent(s, lease.connection, hint, house.clock()))
        raise
    if minted.exclusive and minted.token_ref:
        house.database.write(lambda s: _note(s, lease, minted))
    return minted


def _note(session: Session, lease: Lease, minted: Minted) -> None:
    session.execute(
        update(Lease).where(Lease.id == lease.id).values(ref=minted.token_ref, until=minted.expires_at),
        execution_options={"synchronize_session": False},
    )
    enqueue(session, END, lease.id, minted.expires_at + GRACE)


def granted(house: House, lease: Lease, minted: Minted) -> None:
    """Note what a token client really got, where that is not what was planned: what its token can do, and until when."""
    scopes, until = sorted(minted.scopes), min(lease.until, minted.expires_at)
    if (scopes, until) != (lease.scopes, lease.until):
        values = update(Lease).where(Lease.id == lease.id).values(scopes=scopes, until=until)
        house.database.write(lambda s: s.execute(values, execution_options={"synchronize_session": False}))


def close(session: Where, lease_id: str, outcome: str, now: datetime) -> None:
    """The call is over. An exclusive token is ended now, where its provider can end it alone. A lease is closed once."""
    closed = direct(session).row(CLOSE, {"lease_id": lease_id, "how": outcome[:64], "at": now})
    if closed is None:
        return
    exclusive, ref = closed
    if exclusive:
        audit.append(session, kind="lease.closed", actor="system", subject=lease_id, detail={"outcome": outcome[:64]}, at=now)
    if ref:
        own = session_of(session)
        request_end(own, own.get_one(Lease, lease_id, populate_existing=True), now)


def close_all(session: Session, outcome: str, now: datetime) -> int:
    """Close every lease that is still out; how many that were."""
    found = list(session.scalars(select(Lease.id).where(Lease.state == "planned")))
    for lease in found:
        close(session, lease, outcome, now)
    return len(found)


def request_end(session: Session, lease: Lease, now: datetime) -> None:
    """Have the exclusive token ended: the ledger keeps asking until the provider confirmed or cannot."""
    insert_once(session, Revocation, subject=lease.id, connection=lease.connection, requested_at=now)
    enqueue(session, END, lease.id, now)
