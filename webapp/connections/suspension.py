"""What an incident keeps from being used: accounts, and all of a provider's."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from vault.providers.catalogue import ProviderFacts
from webapp.connections import states
from webapp.connections.tables import Connection, SuspendedProvider
from webapp.db.count import changed
from webapp.db.once import insert_once
from webapp.errors import Conflict
from webapp.people import suspension as persons

PROVIDER = "Accounts there are suspended, because something may be compromised. An administrator can lift that."


def _lock(session: Session, provider: str, *, alone: bool) -> None:
    """Accounts of one provider are connected beside each other, but not while it is being suspended: who is first is seen by the
    other. SQLite has one writer."""
    if session.get_bind().dialect.name == "postgresql":
        mode = "" if alone else "_shared"
        session.execute(text(f"SELECT pg_advisory_xact_lock{mode}(hashtextextended(:provider, 12))"), {"provider": provider})


def refuse(session: Session, person: str, provider: str) -> None:
    """Raises Conflict where nothing may be connected now: the person is suspended, or all accounts at the provider are, or one of
    the person's is, which must not come back under another name."""
    _lock(session, provider, alone=False)
    if persons.among(session, [person]):
        raise Conflict(persons.KEPT_OUT, code="suspended")
    if session.get(SuspendedProvider, provider) is not None:
        raise Conflict(PROVIDER, code="suspended")
    mine = (Connection.person == person, Connection.provider == provider, Connection.suspended != "")
    if session.scalar(select(Connection.id).where(*mine).limit(1)) is not None:
        raise Conflict(states.SUSPENDED, code="suspended")


def provider(session: Session, name: str, incident: str, now: datetime) -> None:
    """Raises Conflict when it is suspended already."""
    _lock(session, name, alone=True)
    if not insert_once(session, SuspendedProvider, provider=name, incident=incident, since=now):
        raise Conflict("This provider is suspended already.")


def lift_provider(session: Session, name: str, incident: str) -> None:
    mine = (SuspendedProvider.provider == name, SuspendedProvider.incident == incident)
    session.execute(delete(SuspendedProvider).where(*mine))


def suspend(
    session: Session, connection: str, incident: str, *, end: bool, actor: str, now: datetime, facts: ProviderFacts
) -> bool:
    """Nothing uses the account from the next request on: it is paused, or, with `end`, disconnected for good. One that another
    incident holds stays that one's. Whether this incident holds it now."""
    mine = update(Connection).where(Connection.id == connection, Connection.suspended == "").values(suspended=incident)
    held = changed(session.execute(mine, execution_options={"synchronize_session": "fetch"})) == 1
    status = session.scalar(select(Connection.status).where(Connection.id == connection))
    if end and status != "disconnected":
        states.end(session, connection, actor, now)
    elif status == "active":
        states.paused(session, connection, actor, now, facts)
    states.told(session, connection)
    return held


def pass_on(session: Session, connection: str, incident: str, to: str) -> None:
    """The incident no longer holds it; another that does takes it over, or none (empty)."""
    mine = (Connection.id == connection, Connection.suspended == incident)
    session.execute(update(Connection).where(*mine).values(suspended=to), execution_options={"synchronize_session": "fetch"})
    states.told(session, connection)
