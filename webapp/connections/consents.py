"""What persons let token clients do with their connected accounts: given on a page, looked at with every token, withdrawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, bindparam, or_, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients.tables import Client
from webapp.connections.lookup import alone, own
from webapp.connections.rules import missing
from webapp.connections.states import SUSPENDED
from webapp.connections.tables import Connection, ConnectionConsent
from webapp.db.direct import Made, Row, Where, direct
from webapp.db.due import enqueue
from webapp.db.once import insert_once
from webapp.errors import BadInput, Conflict, Forbidden, Missing
from webapp.ids import new_id
from webapp.people import suspension

KINDS = ("person", "service")
WITHDRAWN = "broker.withdrawn"
"""Due row, by consent: the broker ends what was handed out under it."""
WITHDRAWN_SINCE = "broker.withdrawn_since"
"""The same once more, for a token that was on its way to the client at that moment."""
ON_ITS_WAY = timedelta(seconds=60)
"""Longer than a token takes that somebody asked for: the provider's time, and ours."""
USED_EVERY = timedelta(seconds=60)


@dataclass(frozen=True)
class Allowed:
    """One row of "Which servers may use this account". `client_status` is an admin's word on the client."""

    id: str
    client: str
    client_name: str
    client_status: str
    connection: str
    provider: str
    label: str
    kind: str
    scopes: tuple[str, ...]
    since: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class Consent:
    """One that is live."""

    id: str
    person: str
    client: str
    connection: str
    kind: str
    scopes: tuple[str, ...]


def give(
    session: Session, *, person: str, client: str, connection: str, scopes: Sequence[str], kind: str, now: datetime
) -> str:
    """The consent's id. One that was live for this client and account is replaced by it.

    Raises Missing for an account that is not the person's (another's looks like none) or a client that is no token client,
    Forbidden when an admin paused or revoked the client or the person is suspended, BadInput for scopes that the account itself
    does not grant, Conflict, also where the account is suspended. An incident that comes at this moment waits, and ends this
    consent too.
    """
    alone(session, person)
    suspension.refuse(session, person)
    row = own(session, connection, person)
    _checked(session, row, client, scopes, kind)
    _end(session, ConnectionConsent.client == client, ConnectionConsent.connection == connection, by=f"person:{person}", now=now)
    consent, allowed = new_id("cst"), sorted(set(scopes))
    first = insert_once(
        session, ConnectionConsent, id=consent, person=person, client=client, connection=connection, kind=kind,
        scopes=allowed, status="active", given_at=now,
    )
    if not first:
        raise Conflict("This was allowed in another window at the same moment. Look at it again.")
    audit.append(
        session, kind="consent.given", actor=f"person:{person}", subject=consent, at=now,
        detail={"client": client, "connection": connection, "provider": row.provider, "kind": kind, "scopes": allowed},
    )
    return consent


def _checked(session: Session, row: Connection, client: str, scopes: Sequence[str], kind: str) -> None:
    found = session.get(Client, client, with_for_update={"read": True})
    if row.suspended:
        raise Conflict(SUSPENDED, code="suspended")
    if found is None or found.kind != "token":
        raise Missing("There is no such server here.")
    if found.status != "active":
        raise Forbidden("This server was paused or revoked by an administrator.")
    if row.status == "disconnected" or not scopes or missing(row.scopes, scopes):
        raise BadInput("The account does not allow this itself. Choose among what it allows.")
    if kind not in KINDS:
        raise BadInput("A server may use an account for its callers, or by itself; nothing else.")


def withdraw(session: Session, consent_id: str, person: str, now: datetime) -> None:
    """The person takes it back: nothing is handed out under it any more, and what was is ended. Raises Missing for one that is
    not theirs. Twice is once."""
    if session.scalar(select(ConnectionConsent.person).where(ConnectionConsent.id == consent_id)) != person:
        raise Missing("You have not allowed this.")
    _end(session, ConnectionConsent.id == consent_id, by=f"person:{person}", now=now)


def shut_out(session: Session, client: str, now: datetime) -> None:
    """An admin revoked the client for good: what anybody allowed it is over, and what was handed out under it is ended."""
    _end(session, ConnectionConsent.client == client, by="system", now=now)


def end_all(session: Session, consents: Collection[str], by: str, now: datetime) -> None:
    """End these, by the word of somebody who may (an incident's): nothing is handed out under them any more."""
    _end(session, ConnectionConsent.id.in_(consents), by=by, now=now)


def _end(session: Session, *which: object, by: str, now: datetime) -> None:
    ended = session.execute(
        update(ConnectionConsent).where(*which, ConnectionConsent.status == "active")  # type: ignore[arg-type]
        .values(status="withdrawn", ended_at=now, ended_by=by)
        .returning(
            ConnectionConsent.id, ConnectionConsent.client, ConnectionConsent.connection, ConnectionConsent.person
        ),
        execution_options={"synchronize_session": False},
    ).all()
    for consent, client, connection, person in ended:
        detail = {"client": client, "connection": connection}
        audit.append(
            session, kind="consent.withdrawn", actor=by, subject=consent, detail={**detail, "person": person}, at=now
        )
        _end_tokens(session, consent, detail, now)


def end_tokens(session: Session, client: str, allowed: Mapping[str, Sequence[str]], why: str, now: datetime) -> None:
    """End what was handed out under consents for more than `allowed` names at the account's provider. The consents stay: they
    give nothing that the client may not ask for."""
    rows = session.execute(
        select(ConnectionConsent, Connection.provider).join(Connection, Connection.id == ConnectionConsent.connection)
        .where(ConnectionConsent.client == client, ConnectionConsent.status == "active")
    )
    for row, provider in rows.all():
        if set(row.scopes) - set(allowed.get(provider, ())):
            _end_tokens(session, row.id, {"client": client, "connection": row.connection, "why": why}, now)


def end_tokens_at(session: Session, client: str, provider: str, why: str, now: datetime) -> None:
    """The same of every consent for an account at one provider."""
    rows = session.scalars(
        select(ConnectionConsent).join(Connection, Connection.id == ConnectionConsent.connection)
        .where(ConnectionConsent.client == client, ConnectionConsent.status == "active", Connection.provider == provider)
    )
    for row in rows.all():
        _end_tokens(session, row.id, {"client": client, "connection": row.connection, "why": why}, now)


def _end_tokens(session: Session, consent: str, of: dict[str, str], now: datetime) -> None:
    for kind, at in ((WITHDRAWN, now), (WITHDRAWN_SINCE, now + ON_ITS_WAY)):
        enqueue(session, kind, consent, at, of)


# Made once: every token that a token client asks for rests on a consent, and looks at it twice.
READ = select(
    ConnectionConsent.id, ConnectionConsent.person, ConnectionConsent.client, ConnectionConsent.connection,
    ConnectionConsent.kind, ConnectionConsent.scopes,
).where(ConnectionConsent.client == bindparam("client"), ConnectionConsent.status == "active")
LIVE_ONE = Made(READ.where(ConnectionConsent.connection == bindparam("connection")))
AT_PROVIDER = (
    READ.join(Connection, Connection.id == ConnectionConsent.connection)
    .where(Connection.provider == bindparam("provider"), Connection.status != "disconnected")
    .order_by(ConnectionConsent.given_at.desc(), ConnectionConsent.id.desc())
)
OF_PERSON = Made(AT_PROVIDER.where(ConnectionConsent.person == bindparam("person")))
OF_KIND = Made(AT_PROVIDER.where(ConnectionConsent.kind == bindparam("kind")))
USED = Made(
    update(ConnectionConsent).where(
        ConnectionConsent.id == bindparam("consent"),
        or_(ConnectionConsent.last_used_at.is_(None), ConnectionConsent.last_used_at < bindparam("late")),
    ).values(last_used_at=bindparam("at"))
)


def live(session: Where, client: str, connection: str) -> Consent | None:
    """The live consent for this client and account. A read of the unique index."""
    row = direct(session).row(LIVE_ONE, {"client": client, "connection": connection})
    return None if row is None else _consent(row)


def _consent(row: Row) -> Consent:
    consent, person, client, connection, kind, scopes = row
    return Consent(consent, person, client, connection, kind, tuple(scopes))


def at_provider(session: Where, client: str, provider: str, *, person: str) -> list[Consent]:
    """The client's live consents of one person for accounts at a provider, the one given last first."""
    rows = direct(session).rows(OF_PERSON, {"client": client, "provider": provider, "person": person})
    return [_consent(row) for row in rows]


def of_kind(session: Where, client: str, provider: str, kind: str) -> list[Consent]:
    """The same of everybody, of one kind."""
    rows = direct(session).rows(OF_KIND, {"client": client, "provider": provider, "kind": kind})
    return [_consent(row) for row in rows]


def used(session: Where, consent_id: str, now: datetime) -> None:
    """Remember the last use, to the minute."""
    direct(session).run(USED, {"consent": consent_id, "late": now - USED_EVERY, "at": now})


LISTED: Select[ConnectionConsent, str, str, str, str] = (
    select(ConnectionConsent, Client.name, Client.status, Connection.provider, Connection.label)
    .join(Client, Client.id == ConnectionConsent.client).join(Connection, Connection.id == ConnectionConsent.connection)
    .where(ConnectionConsent.status == "active", Connection.status != "disconnected")
    .order_by(ConnectionConsent.given_at.desc(), ConnectionConsent.id.desc())
)


def of_connection(session: Session, connection: str) -> list[Allowed]:
    """Which token clients may use this account, the newest consent first."""
    return _listed(session, LISTED.where(ConnectionConsent.connection == connection))


def of_person(session: Session, person: str) -> list[Allowed]:
    """Everything that this person allows token clients, over all accounts."""
    return _listed(session, LISTED.where(ConnectionConsent.person == person))


def _listed(session: Session, asked: Select[ConnectionConsent, str, str, str, str]) -> list[Allowed]:
    return [
        Allowed(
            id=row.id, client=row.client, client_name=name, client_status=status, connection=row.connection, provider=provider,
            label=label, kind=row.kind, scopes=tuple(row.scopes), since=row.given_at, last_used_at=row.last_used_at,
        )
        for row, name, status, provider, label in session.execute(asked)
    ]
