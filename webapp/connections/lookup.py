"""Which connection a call may use, and reading connections for their pages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Select, bindparam, or_, select, text, update
from sqlalchemy.orm import Session

from vault.providers.catalogue import facts, load
from vault.said import heard
from webapp.connections.rules import missing
from webapp.connections.tables import Connection, Revocation
from webapp.db.direct import Made, Where, copied, direct
from webapp.errors import Conflict, Missing, Said, said

USED_EVERY = timedelta(seconds=60)
TOKENS = ":tokens"
"""Ends the ledger's subject for what a pause or a new consent of a connection left behind."""

NONE = said("No %(title)s account is connected. Connect one to go on.")
SEVERAL = said("Several %(title)s accounts are connected and none is the default. Choose the one that agents use.")
LACKS = said("The connected %(title)s account does not allow this yet. Allow it there to go on.")
SUSPENDED = said("The %(title)s account is suspended, because something may be compromised. An administrator can lift that.")
PAUSED = said("The %(title)s account is paused by its owner. Resume it to go on.")
REFUSED = said("%(title)s no longer accepts this connection. Reconnect the account to go on.")
UNUSABLE = (NONE, SEVERAL, LACKS, SUSPENDED, PAUSED, REFUSED)
"""Why no account serves a call; `title` is the provider's."""


class NoConnection(Conflict):
    """No connected account serves this; `url` (a path) is where the person changes that. `hint` names the provider as
    `%(title)s`."""

    default = "no_connection"

    def __init__(self, hint: Said, *, url: str, code: str | None = None, provider: str = "") -> None:
        super().__init__(filled(hint, title(provider)), code=code)
        self.worded = hint
        self.url = url
        self.provider = provider

    def named(self, called: str) -> str:
        """The hint with the provider's title as the operator's own catalogue has it."""
        return filled(self.worded, called)


def filled(hint: Said, called: str) -> str:
    return heard(hint % {"title": called}, [hint.msgid, "", "", {"title": called}])


def title(provider: str) -> str:
    """As the shipped catalogue calls it."""
    return facts(load(), provider).title


def _of_person(asked: Select[Any]) -> Select[Any]:
    return asked.where(
        Connection.person == bindparam("person"), Connection.provider == bindparam("provider"),
        Connection.status != "disconnected",
    ).order_by(Connection.connected_at.desc(), Connection.id.desc())


OF_PERSON = Made(_of_person(select(*Connection.__table__.columns)))
"""Made once: every call asks it."""
BY_ID = Made(select(*Connection.__table__.columns).where(Connection.id == bindparam("connection")))
COLUMNS = tuple(Connection.__table__.columns.keys())


def by_id(session: Where, connection: str) -> Connection | None:
    """Whosever it is; a copy."""
    row = direct(session).row(BY_ID, {"connection": connection})
    return None if row is None else copied(Connection, dict(zip(COLUMNS, row, strict=True)))


def usable(session: Where, person: str, provider: str, scopes: Sequence[str]) -> Connection:
    """The person's account at the provider, if it grants these scopes: the default one, or the only one. Never another than the
    person would expect: one that is paused or grants less is not stepped around. What is returned is a copy. Raises NoConnection,
    which says what to do and where."""
    found_rows = direct(session).rows(OF_PERSON, {"person": person, "provider": provider})
    rows = [copied(Connection, dict(zip(COLUMNS, row, strict=True))) for row in found_rows]
    found = chosen(rows)
    if found is not None and found.status == "active" and not missing(found.scopes, scopes):
        return found
    raise _why(rows, found, provider, scopes)


def chosen(rows: Sequence[Connection]) -> Connection | None:
    """The account of one provider that a call uses which does not say which: None where there is none, or no telling."""
    return next((row for row in rows if row.preferred), rows[0] if len(rows) == 1 else None)


def _why(rows: Sequence[Connection], found: Connection | None, provider: str, scopes: Sequence[str]) -> NoConnection:
    """The hint names the provider by its shipped title; `NoConnection.named` puts another in its place."""
    if not rows:
        query = urlencode([("provider", provider), *(("add", scope) for scope in sorted(scopes))])
        hint, url, code = NONE, f"/connections/new?{query}", None
    elif found is None:
        hint, url, code = SEVERAL, "/connections", "no_default"
    elif found.status == "active":
        query = urlencode([("connection", found.id), *(("add", scope) for scope in missing(found.scopes, scopes))])
        hint, url, code = LACKS, f"/connections/new?{query}", "scope_missing"
    elif found.suspended:
        hint, url, code = SUSPENDED, f"/connections/{found.id}", "suspended"
    elif found.status == "paused":
        hint, url, code = PAUSED, f"/connections/{found.id}", "paused"
    else:
        hint, url, code = REFUSED, f"/connections/new?connection={found.id}", "needs_consent"
    return NoConnection(hint, url=url, code=code, provider=provider)


def own(session: Session, connection: str, person: str) -> Connection:
    """The person's own connection. Raises Missing: another's looks like none."""
    found = session.get(Connection, connection)
    if found is None or found.person != person:
        raise Missing("There is no such account.")
    return found


def of_person(session: Session, person: str) -> list[Connection]:
    """All that are not disconnected, the newest first."""
    return list(session.scalars(
        select(Connection).where(
            Connection.person == person, Connection.status != "disconnected"
        ).order_by(Connection.connected_at.desc(), Connection.id.desc())
    ))


def ever(session: Session, person: str) -> list[Connection]:
    """All that there ever were, disconnected ones too."""
    return list(session.scalars(select(Connection).where(Connection.person == person).order_by(Connection.id)))


def at_provider(session: Session, person: str, provider: str) -> list[Connection]:
    """The person's live accounts there, the one consented to last first."""
    return list(session.scalars(_of_person(select(Connection)), {"person": person, "provider": provider}))


def alone(session: Session, person: str) -> None:
    """One person's accounts change one after the other: SQLite has one writer, PostgreSQL is asked for a lock."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:person, 11))"), {"person": person})


def topic(person: str) -> str:
    """Who waits for a person's accounts to change waits for this (`webapp.db.changes`)."""
    return f"accounts:{person}"


SHOWN = Made(
    select(
        Connection.id, Connection.status, Connection.suspended, Connection.name, Connection.preferred, Connection.connected_at,
        Revocation.state, Revocation.tries,
    )
    .outerjoin(Revocation, or_(Revocation.subject == Connection.id, Revocation.subject == Connection.id + TOKENS))
    .where(Connection.person == bindparam("person")).order_by(Connection.id, Revocation.subject)
)
"""Made once: each open page asks it at each change."""


def version(session: Where, person: str) -> str:
    """Another text whenever what the person's account pages show has changed, but for uses."""
    return hashlib.sha256(repr(direct(session).rows(SHOWN, {"person": person})).encode()).hexdigest()[:16]


def ended_lately(session: Session, person: str, since: datetime) -> list[tuple[Connection, Revocation | None]]:
    """What was disconnected since, with where the provider's revocation stands."""
    return [(row[0], row[1]) for row in session.execute(
        select(Connection, Revocation).outerjoin(Revocation, Revocation.subject == Connection.id)
        .where(Connection.person == person, Connection.status == "disconnected", Connection.ended_at >= since)
        .order_by(Connection.ended_at.desc(), Connection.id.desc())
    )]


USED = Made(
    update(Connection)
    .where(
        Connection.id == bindparam("connection"),
        or_(Connection.last_used_at.is_(None), Connection.last_used_at < bindparam("late")),
    )
    .values(last_used_at=bindparam("now"))
)


def used(session: Where, connection: str, now: datetime) -> None:
    """Note a use, at most once a minute: the lease says it exactly."""
    direct(session).run(USED, {"connection": connection, "late": now - USED_EVERY, "now": now})
