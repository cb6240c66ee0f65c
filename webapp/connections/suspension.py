"""What an incident keeps from being used: accounts, and all of a provider's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.config import Settings
from webapp.connections import lookup, providers, states
from webapp.connections.rules import ends_alone
from webapp.connections.tables import Connection, Revocation, SuspendedProvider
from webapp.db.count import changed
from webapp.db.due import enqueue_all
from webapp.db.once import insert_once
from webapp.errors import Conflict
from webapp.people import suspension as persons

PROVIDER = "Accounts there are suspended, because something may be compromised. An administrator can lift that."


CHUNK = 500
QUIET = {"synchronize_session": False}
ALONE = "cannot end one token alone"


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


@dataclass(frozen=True)
class Suspended:
    """`held`: accounts that this incident holds now (another's stay that one's). `asked`: subjects of the ledger about them."""

    held: frozenset[str]
    asked: tuple[str, ...]


def disconnect(session: Session, connection: Connection, incident: str, *, actor: str, now: datetime) -> Suspended:
    """For good: nothing uses it from the next request on, its provider is told to end all of it, and it is not connected anew
    while the incident lasts."""
    mine = update(Connection).where(Connection.id == connection.id, Connection.suspended == "").values(suspended=incident)
    held = changed(session.execute(mine, execution_options={"synchronize_session": "fetch"})) == 1
    states.end(session, connection.id, actor, now)
    return Suspended(frozenset([connection.id] if held else []), (connection.id,))


def pause(
    session: Session, settings: Settings, rows: Sequence[Connection], incident: str, *, actor: str, now: datetime
) -> Suspended:
    """Nothing uses these from the next request on. They may be all of a provider's, so no statement is about one alone."""
    held: set[str] = set()
    asked: list[str] = []
    for start in range(0, len(rows), CHUNK):
        chunk = {row.id: row for row in rows[start:start + CHUNK]}
        free = update(Connection).where(Connection.id.in_(chunk), Connection.suspended == "").values(suspended=incident)
        held |= set(session.scalars(free.returning(Connection.id), execution_options=QUIET))
        active = update(Connection).where(Connection.id.in_(chunk), Connection.status == "active")
        stopped = active.values(status="paused", status_at=now).returning(Connection.id)
        paused = [chunk[one] for one in sorted(session.scalars(stopped, execution_options=QUIET))]
        _ask(session, settings, paused, actor, now)
        subjects = Revocation.subject.in_([one + lookup.TOKENS for one in chunk])
        asked += session.scalars(select(Revocation.subject).where(subjects, Revocation.state.in_(("pending", "unsupported"))))
        session.info.setdefault("topics", set()).update(lookup.topic(row.person) for row in chunk.values())
    session.expire_all()
    return Suspended(frozenset(held), tuple(asked))


def _ask(session: Session, settings: Settings, paused: Sequence[Connection], actor: str, now: datetime) -> None:
    """What `states.paused` does for one: have what was handed out ended. Where the provider cannot, the ledger says so."""
    alone = {name: ends_alone(providers.find(settings, name)) for name in {row.provider for row in paused}}
    subjects = [row.id + lookup.TOKENS for row in paused]
    session.execute(delete(Revocation).where(Revocation.subject.in_(subjects)), execution_options=QUIET)
    asked = [
        {"subject": row.id + lookup.TOKENS, "connection": row.id, "requested_at": now,
         **({"state": "pending", "detail": "", "settled_at": None} if alone[row.provider] else
            {"state": "unsupported", "detail": ALONE, "settled_at": now})} for row in paused
    ]
    if asked:
        session.execute(insert(Revocation), asked)
    enqueue_all(session, states.END_TOKENS, [row.id for row in paused], now)
    for row in paused:
        audit.append(session, kind="connection.paused", actor=actor, subject=row.id, detail={"status": "paused"}, at=now)


def pass_on(session: Session, connection: str, incident: str, to: str) -> None:
    """The incident no longer holds it; another that does takes it over, or none (empty)."""
    mine = (Connection.id == connection, Connection.suspended == incident)
    session.execute(update(Connection).where(*mine).values(suspended=to), execution_options={"synchronize_session": "fetch"})
    states.told(session, connection)
