"""Leases whose token a token client holds: given back, asked about, and ended when the person takes the consent back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from vault.errors import Disconnected, NotKnown
from webapp import audit
from webapp.broker.leases import close
from webapp.broker.tables import Lease
from webapp.clients import permissions
from webapp.clients.tables import Client
from webapp.connections import consents
from webapp.connections.tables import Connection, ConnectionConsent
from webapp.db.due import Due
from webapp.web.house import House

AGAIN = timedelta(minutes=1)
WITHDRAWN = "consent withdrawn"
PAUSED = "server paused"
NARROWED = "server may ask for less"


def give_back(session: Session, lease_id: str, client: str, now: datetime) -> None:
    """RFC 7009 section 2.2: what is not there, or is over, is as good as given back; another's lease looks like none. An
    exclusive token is ended at its provider next; a shared one is only closed here: the client's other calls may be using it."""
    lease = _own(session, lease_id, client)
    if lease is None or lease.state != "planned":
        return
    close(session, lease_id, "given back", now)
    audit.append(session, kind="lease.given_back", actor=f"client:{client}", subject=lease_id, at=now,
                 detail={"exclusive": lease.exclusive})


def about(session: Session, lease_id: str, client: str, now: datetime) -> dict[str, Any]:
    """RFC 7662 section 2.2, with `act` as RFC 8693 section 4.1 nests it. A lease counts only while all it rests on does."""
    lease = _own(session, lease_id, client)
    if lease is None or not _live(session, lease, now):
        return {"active": False}
    return {
        "active": True, "lease_id": lease.id, "client_id": client, "sub": lease.person, "scope": " ".join(lease.scopes),
        "iat": int(lease.planned_at.timestamp()), "exp": int(lease.until.timestamp()), "act": act(lease.actors),
    }


def act(actors: Sequence[str]) -> Mapping[str, Any]:
    """`{"sub": current, "act": {"sub": the one before}}`."""
    found: dict[str, Any] = {}
    for actor in reversed(actors):
        found = {"sub": actor, **({"act": found} if found else {})}
    return found


def _own(session: Session, lease_id: str, client: str) -> Lease | None:
    lease = session.get(Lease, lease_id)
    return lease if lease is not None and lease.consent and lease.server == client else None


def _live(session: Session, lease: Lease, now: datetime) -> bool:
    if lease.state != "planned" or lease.until <= now:
        return False
    consent = consents.live(session, lease.server, lease.connection)
    connection, client = session.get(Connection, lease.connection), session.get(Client, lease.server)
    return (
        consent is not None and consent.id == lease.consent and connection is not None and connection.status == "active"
        and client is not None and client.status == "active"
    )


def withdrawn(house: House, due: Due) -> datetime | None:
    """A consent was withdrawn: its leases are closed, exclusive tokens are ended at the provider by the ledger, and the keeper
    has the shared ones ended that this client was given, where the provider can end one alone."""
    connection, client = str(due.payload["connection"]), str(due.payload["client"])
    why = str(due.payload.get("why", WITHDRAWN))
    person = house.database.write(lambda s: _close_all(s, due.key, why, house.clock()))
    try:
        house.door.forget(connection=connection, person=person, receiver=client)
        told = house.door.end_tokens(connection=connection)
    except (NotKnown, Disconnected):
        return None
    return house.clock() + AGAIN if told.outcome == "pending" else None


def shut_out(house: House, due: Due) -> datetime | None:
    """A token client was revoked or paused, or may ask for less. It holds tokens of accounts that no refusal here can reach: they
    end at their providers, as if each person had withdrawn the consent. The consents end with a revoked client alone."""
    house.database.write(lambda s: _shut_out(s, due.key, house.clock()))
    return None


def bound(house: House, due: Due) -> datetime | None:
    """A token client may name fewer tools or resources at one provider: what it holds there was given for the ones of before."""
    client, provider = str(due.payload["client"]), str(due.payload["provider"])
    house.database.write(lambda s: consents.end_tokens_at(s, client, provider, NARROWED, house.clock()))
    return None


def _shut_out(session: Session, client_id: str, now: datetime) -> None:
    client = session.get(Client, client_id)
    if client is None or client.status == "revoked":
        consents.shut_out(session, client_id, now)
    elif client.status == "paused":
        consents.end_tokens(session, client_id, {}, PAUSED, now)
    else:
        allowed = {provider: row.scopes for provider, row in permissions.of(session, client_id).items()}
        consents.end_tokens(session, client_id, allowed, NARROWED, now)


def _close_all(session: Session, consent: str, why: str, now: datetime) -> str:
    """The person whose consent it was. Of shared leases there may be thousands, most of them over by themselves."""
    row = session.get_one(ConnectionConsent, consent)
    its = (Lease.connection == row.connection, Lease.consent == consent, Lease.state == "planned")
    for lease_id in session.scalars(select(Lease.id).where(*its, Lease.exclusive).order_by(Lease.id)).all():
        close(session, lease_id, why, now)
    session.execute(
        update(Lease).where(*its, Lease.exclusive.is_(False)).values(state="closed", outcome=why, closed_at=now),
        execution_options={"synchronize_session": False},
    )
    return row.person
