"""What persons allowed agents: given by consent, listed, taken back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients.tables import Client
from webapp.errors import Forbidden, Missing
from webapp.ids import new_id
from webapp.oauth.tables import ACTIVE, CONSENT, Grant
from webapp.people import suspension


@dataclass(frozen=True)
class Allowed:
    """One row of "Agents you allowed"."""

    id: str
    client: str
    client_name: str
    client_status: str
    verified: bool
    resource: str
    since: datetime
    last_used_at: datetime | None


def consent(session: Session, *, person: str, client: Client, resource: str, scopes: list[str], now: datetime) -> str:
    """The id of the one live grant of this person to this client for this resource, made now or renewed.

    Raises Forbidden when the client was paused or revoked, or the person suspended, while the page was open. An incident that
    comes at this moment waits for the rows that are looked at, and ends this grant too.
    """
    suspension.refuse(session, person)
    if session.scalar(select(Client.status).where(Client.id == client.id).with_for_update(read=True)) != "active":
        raise Forbidden("This agent was paused or revoked by an administrator.")
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert(Grant).values(
            id=new_id("grant"), person=person, client=client.id, resource=resource, scopes=scopes, status="active",
            created_at=now, consented_at=now,
        ).on_conflict_do_nothing(index_elements=CONSENT, index_where=ACTIVE)
    )
    grant: str = session.execute(
        update(Grant).where(
            Grant.person == person, Grant.client == client.id, Grant.resource == resource, Grant.status == "active",
        ).values(consented_at=now, scopes=scopes).returning(Grant.id)
    ).scalar_one()
    audit.append(session, kind="oauth.consented", actor=f"person:{person}", subject=grant, at=now,
                 detail={"client": client.id, "client_name": client.name, "resource": resource, "scopes": scopes})
    return grant


def deny(session: Session, *, person: str, client: Client, resource: str, now: datetime) -> None:
    """Write down that the person did not allow it. A grant given earlier stays as it is."""
    audit.append(session, kind="oauth.denied", actor=f"person:{person}", subject=client.id, at=now,
                 detail={"client_name": client.name, "resource": resource})


def revoke(session: Session, grant_id: str, actor: str, reason: str, now: datetime) -> bool:
    """End a grant with its whole family of codes and tokens, for good; whether it was live until now.

    Every check of a token reads the grant, so this holds from the next request on.
    """
    ended = session.execute(
        update(Grant).where(Grant.id == grant_id, Grant.status == "active")
        .values(status="revoked", revoked_at=now, revoked_by=actor, revoked_reason=reason).returning(Grant.person),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if ended is None:
        return False
    detail = {"reason": reason, "person": ended.person}
    audit.append(session, kind="oauth.revoked", actor=actor, subject=grant_id, at=now, detail=detail)
    return True


def revoke_own(session: Session, grant_id: str, person: str, now: datetime) -> None:
    """The person takes back what they allowed. Raises Missing for a grant that is not theirs. Twice is once."""
    if session.scalar(select(Grant.person).where(Grant.id == grant_id)) != person:
        raise Missing("You have not allowed any such agent.")
    revoke(session, grant_id, f"person:{person}", "taken back by the person", now)


def live(session: Session, grant_id: str, now: datetime) -> bool:
    """Whether the grant still holds and its client may still act: read again before anything held is executed."""
    found = session.execute(
        select(Grant.id).join(Client, Client.id == Grant.client)
        .where(Grant.id == grant_id, Grant.status == "active", Grant.created_at <= now, Client.status == "active")
    ).first()
    return found is not None


def used(session: Session, grant_id: str, now: datetime) -> None:
    """Remember the last use. Called when tokens are given, so it is exact to an access token's lifetime."""
    session.execute(update(Grant).where(Grant.id == grant_id).values(last_used_at=now))


def of_person(session: Session, person: str) -> list[Allowed]:
    """The person's live grants, the newest consent first."""
    rows = session.execute(
        select(
            Grant.id, Client.id, Client.name, Client.status, Client.verified,
            Grant.resource, Grant.created_at, Grant.last_used_at,
        ).join(Client, Client.id == Grant.client)
        .where(Grant.person == person, Grant.status == "active").order_by(Grant.consented_at.desc(), Grant.id.desc())
    )
    return [Allowed(*row) for row in rows]
