"""Due rows of this room: ending leases and revoking connections at their providers, until those have answered for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from vault.door import Revoked
from vault.errors import Disconnected, NotKnown
from webapp import audit
from webapp.broker.cleaning import clean
from webapp.broker.handed_out import bound, shut_out, withdrawn
from webapp.broker.leases import END, request_end
from webapp.broker.ledger import note
from webapp.broker.tables import Lease
from webapp.clients.permissions import BOUND
from webapp.clients.status import SHUT_OUT
from webapp.connections.connecting import LEASES
from webapp.connections.consents import WITHDRAWN, WITHDRAWN_SINCE
from webapp.connections.lookup import TOKENS
from webapp.connections.states import END_TOKENS, REVOKE, told
from webapp.connections.tables import Connection, Revocation
from webapp.db.due import Due
from webapp.web.house import House


def end_lease(house: House, due: Due) -> datetime | None:
    """End one exclusive token. A lease that nobody closed is closed first: whoever held it has died, or a token client has let
    its time run out."""
    now = house.clock()
    lease = house.database.write(lambda s: _begin_end(s, due.key, now))
    if lease is None:
        return None
    try:
        answer = house.door.end_lease(connection=lease.connection, token_ref=lease.ref)
    except NotKnown:
        answer = Revoked("confirmed", "the connection is gone")
    return house.database.write(lambda s: _noted(s, lease.id, answer, house))


def _begin_end(session: Session, lease_id: str, now: datetime) -> Lease | None:
    lease = session.get(Lease, lease_id)
    if lease is None or lease.state == "ended" or not lease.ref:
        return None
    if lease.state == "planned":
        outcome = "expired" if lease.consent else "abandoned"
        lease.state, lease.outcome, lease.closed_at = "closed", outcome, now
        audit.append(session, kind="lease.closed", actor="system", subject=lease_id, detail={"outcome": outcome}, at=now)
    if session.get(Revocation, lease_id) is None:
        request_end(session, lease, now)
    return lease


def _noted(session: Session, lease_id: str, answer: Revoked, house: House) -> datetime | None:
    again = note(session, lease_id, answer, house.clock(), house.settings.broker.revoke_backoff_max)
    if again is None:
        session.execute(
            update(Lease).where(Lease.id == lease_id).values(state="ended"), execution_options={"synchronize_session": False}
        )
    return again


def revoke(house: House, due: Due) -> datetime | None:
    """Revoke one connection. The keeper is told to disconnect first, again: it may have been away when the person did."""
    with house.database.read() as session:
        connection = session.get(Connection, due.key)
    if connection is None or connection.status != "disconnected":
        return None
    try:
        house.door.disconnect(connection=connection.id, person=connection.person)
        answer = house.door.revoke(connection=connection.id)
    except NotKnown:
        answer = Revoked("confirmed", "nothing is stored")
    longest = house.settings.broker.revoke_backoff_max
    return house.database.write(lambda s: _told(s, connection.id, connection.id, answer, house.clock(), longest))


def end_tokens(house: House, due: Due) -> datetime | None:
    """End what a pause or a new consent left behind. The keeper is told of a pause first, again: it may have been away; and told
    back, if the pause was over before it heard."""
    connection = _connection(house, due.key)
    if connection is None or connection.status == "disconnected":
        return None
    try:
        if connection.status == "paused":
            house.door.pause(connection=connection.id, person=connection.person)
            if (now := _connection(house, due.key)) is not None and now.status == "active":
                house.door.resume(connection=connection.id, person=connection.person)
        answer = house.door.end_tokens(connection=connection.id)
        if connection.status == "paused":
            answer = ended_or_not(house, connection.id, answer)
    except (NotKnown, Disconnected):
        answer = Revoked("confirmed", "nothing is stored")
    longest = house.settings.broker.revoke_backoff_max
    return house.database.write(lambda s: _told(s, connection.id, connection.id + TOKENS, answer, house.clock(), longest))


def ended_or_not(house: House, connection: str, answer: Revoked) -> Revoked:
    """An account that cannot be renewed keeps its one token when its tokens are ended: then nothing was, whatever was confirmed.
    Raises NotKnown."""
    if answer.outcome != "confirmed" or house.door.connection(connection).renewable:
        return answer
    return Revoked("unsupported", "its one token cannot end without the account")


def _connection(house: House, connection: str) -> Connection | None:
    with house.database.read() as session:
        return session.get(Connection, connection)


def _told(session: Session, connection: str, subject: str, answer: Revoked, now: datetime, longest: int) -> datetime | None:
    told(session, connection)
    return note(session, subject, answer, now, longest)


jobs: dict[str, Callable[[House, Due], datetime | None]] = {
    END: end_lease, REVOKE: revoke, END_TOKENS: end_tokens, WITHDRAWN: withdrawn, WITHDRAWN_SINCE: withdrawn, SHUT_OUT: shut_out,
    BOUND: bound, LEASES: clean,
}
