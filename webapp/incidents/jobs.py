"""Due rows of this room: a server's tokens forgotten, and accounts resumed at the keeper."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from vault.door import Revoked
from vault.errors import Disconnected, NotKnown
from webapp.broker.jobs import ended_or_not
from webapp.broker.ledger import note
from webapp.connections import idle, states
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.incidents import ending
from webapp.incidents.ending import RELEASE, RESUME
from webapp.incidents.opening import FORGET, one_at_a_time
from webapp.web.house import House


def forget(house: House, due: Due) -> datetime | None:
    """The keeper hands a server no token of before again, and has its provider end them, until that has answered for good."""
    connection, _, server = due.key.partition("@")
    with house.database.read() as session:
        row = session.get(Connection, connection)
    if row is None:
        return None
    try:
        house.door.forget(connection=connection, person=row.person, receiver=server)
        answer = ended_or_not(house, connection, house.door.end_tokens(connection=connection))
    except (NotKnown, Disconnected):
        answer = Revoked("confirmed", "the account is disconnected")
    longest = house.settings.broker.revoke_backoff_max
    return house.database.write(lambda s: note(s, due.key, answer, house.clock(), longest))


def resume(house: House, due: Due) -> datetime | None:
    """An account that no incident holds any more, at the keeper and then here. One that its owner or another incident changed
    meanwhile stays as it is."""
    with house.database.read() as session:
        row = session.get(Connection, due.key)
    if row is None or row.status != "paused" or row.suspended:
        return None
    try:
        house.door.resume(connection=row.id, person=row.person)
    except (NotKnown, Disconnected):
        return None
    now, actor = house.clock(), str(due.payload["actor"])
    try:
        house.database.write(lambda s: _resumed(s, row.id, actor, now))
    except Conflict:  # it was suspended again, or disconnected, at this moment: the keeper is told so once more
        house.database.write(lambda s: states.tell_again(s, row.id, house.clock()))
    return None


def _resumed(session: Session, connection: str, actor: str, now: datetime) -> None:
    """And its refresh token is traded in: whoever may have had the one of before has nothing, where the provider rotates."""
    states.change(session, connection, to="active", actor=actor, kind="connection.resumed", now=now, before=("paused",))
    idle.now_(session, [connection], now)


def release(house: House, due: Due) -> datetime | None:
    """The rest of what a lifted incident suspended, some at a time."""
    now, actor = house.clock(), str(due.payload["actor"])

    def some(session: Session) -> bool:
        one_at_a_time(session)
        return ending.release(session, due.key, actor, now)

    return now if house.database.write(some) else None


jobs: dict[str, Callable[[House, Due], datetime | None]] = {FORGET: forget, RESUME: resume, RELEASE: release}
