"""A connection's transitions: each a conditional UPDATE with its entry in the log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from webapp import audit
from webapp.connections.rules import TRANSITIONS
from webapp.connections.tables import Connection, Revocation
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import Conflict
from webapp.web.house import House
from webapp.web.viewer import Viewer

REVOKE = "broker.revoke"
AWAY = ("vault_away", "vault_sealed", "keeper_away")


def change(session: Session, connection: str, *, to: str, actor: str, kind: str, now: datetime, **values: Any) -> None:
    """Raises Conflict when the connection is in no state from which it may go there: somebody was first."""
    before = [state for state, after in TRANSITIONS.items() if to in after]
    done = session.execute(
        update(Connection).where(Connection.id == connection, Connection.status.in_(before)).values(status=to, **values),
        execution_options={"synchronize_session": "fetch"},
    )
    if changed(done) != 1:
        raise Conflict("This account has changed meanwhile. Look at it again.")
    audit.append(session, kind=kind, actor=actor, subject=connection, detail={"status": to}, at=now)


def pause(session: Session, connection: str, viewer: Viewer, now: datetime) -> None:
    change(session, connection, to="paused", actor=f"person:{viewer.person}", kind="connection.paused", now=now)


def resume(session: Session, connection: str, viewer: Viewer, now: datetime) -> None:
    """Only from `paused`: an account that needs consent is not resumed but reconnected."""
    done = session.execute(
        update(Connection).where(Connection.id == connection, Connection.status == "paused").values(status="active"),
        execution_options={"synchronize_session": "fetch"},
    )
    if changed(done) != 1:
        raise Conflict("This account has changed meanwhile. Look at it again.")
    actor = f"person:{viewer.person}"
    audit.append(session, kind="connection.resumed", actor=actor, subject=connection, detail={"status": "active"}, at=now)


def needs_consent(session: Session, connection: str, reason: str, now: datetime) -> None:
    """The keeper said that the provider's grant is over. Nothing happens to a connection that is already so, or disconnected."""
    row = session.get(Connection, connection)
    if row is not None and row.status in ("active", "paused"):
        change(
            session, connection, to="needs_consent", actor="system", kind="connection.needs_consent", now=now, reason=reason[:300]
        )


def end(session: Session, connection: str, actor: str, now: datetime) -> None:
    """Disconnected here, at once; the provider is told by the revocation ledger, until it confirms."""
    change(session, connection, to="disconnected", actor=actor, kind="connection.disconnected", now=now, ended_at=now)
    session.add(Revocation(subject=connection, connection=connection, requested_at=now))
    enqueue(session, REVOKE, connection, now)


def disconnect(house: House, connection: Connection, viewer: Viewer) -> None:
    """Take an account back. From the moment this returns nothing of ours uses it: the row refuses, and the keeper refuses. If the
    keeper is out of service, the row refuses alone, and the ledger tells the keeper when it is back."""
    now = house.clock()
    house.database.write(lambda s: end(s, connection.id, f"person:{viewer.person}", now))
    try:
        house.door.disconnect(connection=connection.id, person=connection.person)
    except KeeperError as error:
        if error.code not in AWAY:
            raise
