"""Which connection a call may use, and reading connections for their pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from webapp.connections.rules import missing
from webapp.connections.tables import Connection, Revocation
from webapp.errors import Conflict, Missing

USED_EVERY = timedelta(seconds=60)


class NoConnection(Conflict):
    """No connected account serves this; `url` (a path) is where the person changes that."""

    default = "no_connection"

    def __init__(self, hint: str, *, url: str, code: str | None = None) -> None:
        super().__init__(hint, code=code)
        self.url = url


OF_PERSON = (
    select(Connection)
    .where(
        Connection.person == bindparam("person"), Connection.provider == bindparam("provider"),
        Connection.status != "disconnected",
    )
    .order_by(Connection.connected_at.desc(), Connection.id.desc())
)
"""Made once: every call asks it."""


def usable(session: Session, person: str, provider: str, scopes: Sequence[str]) -> Connection:
    """The person's connection at the provider that grants these scopes, the one consented to last if there are several.
    Raises NoConnection, which says what to do and where."""
    rows = session.scalars(OF_PERSON, {"person": person, "provider": provider}).all()
    found = next((row for row in rows if row.status == "active" and not missing(row.scopes, scopes)), None)
    if found is not None:
        return found
    raise _why(rows, provider)


def _why(rows: Sequence[Connection], provider: str) -> NoConnection:
    name = provider.replace("-", " ").title()
    states = {row.status: row for row in rows}
    if not rows:
        return NoConnection(f"No {name} account is connected. Connect one to go on.", url=f"/connections/new?provider={provider}")
    if "active" in states:
        hint = f"The connected {name} account does not allow this. Reconnect it and allow it there."
        return NoConnection(hint, url=f"/connections/new?connection={states['active'].id}", code="scope_missing")
    if "paused" in states:
        return NoConnection(f"The {name} account is paused by its owner. Resume it to go on.", url="/connections", code="paused")
    hint = f"{name} no longer accepts this connection. Reconnect the account to go on."
    return NoConnection(hint, url=f"/connections/new?connection={rows[0].id}", code="needs_consent")


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


def ended_lately(session: Session, person: str, since: datetime) -> list[tuple[Connection, Revocation | None]]:
    """What was disconnected since, with where the provider's revocation stands."""
    return [(row[0], row[1]) for row in session.execute(
        select(Connection, Revocation).outerjoin(Revocation, Revocation.subject == Connection.id)
        .where(Connection.person == person, Connection.status == "disconnected", Connection.ended_at >= since)
        .order_by(Connection.ended_at.desc(), Connection.id.desc())
    )]


USED = (
    update(Connection)
    .where(
        Connection.id == bindparam("connection"),
        or_(Connection.last_used_at.is_(None), Connection.last_used_at < bindparam("late")),
    )
    .values(last_used_at=bindparam("now"))
)


def used(session: Session, connection: str, now: datetime) -> None:
    """Note a use, at most once a minute: the lease says it exactly."""
    session.connection().execute(USED, {"connection": connection, "late": now - USED_EVERY, "now": now})
