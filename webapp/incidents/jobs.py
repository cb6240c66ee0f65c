"""Due rows of this room: a server's tokens forgotten, refresh tokens traded in, and accounts resumed at the keeper."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from vault.door import Revoked
from vault.errors import Disconnected, NeedsConsent, NotKnown
from webapp import audit
from webapp.broker.jobs import ended_or_not
from webapp.broker.ledger import note
from webapp.connections import idle, providers, states
from webapp.connections.rules import ends_alone
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.incidents import ending
from webapp.incidents.ending import RELEASE, RESUME
from webapp.incidents.opening import FORGET, TRADE, one_at_a_time
from webapp.web.house import House

SOON = timedelta(seconds=2)


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


def trade(house: House, due: Due) -> datetime | None:
    """One that an incident holds: whoever copied its refresh token has nothing from then on, where the provider rotates them.
    Where somebody showed the copy first, a provider that notices ends the grant: its person is told, and reconnects."""
    with house.database.read() as session:
        row = session.get(Connection, due.key)
    if row is None or row.status != "paused" or not row.suspended:
        return None
    if not idle.PACE.may(row.provider, house.clock(), house.settings.rotation.renewals_per_minute):
        return house.clock() + idle.LATER
    try:
        outcome = house.door.trade_in(connection=row.id)
    except NeedsConsent as error:
        reason = error.hint
        house.database.write(lambda s: states.needs_consent(s, row.id, reason, house.clock()))
        return None
    except (Disconnected, NotKnown):
        return None
    if outcome == "in_use":  # the keeper has not heard of the pause yet: a due row tells it
        return house.clock() + SOON
    house.database.write(lambda s: _traded(s, house, row, outcome))
    return None


def _traded(session: Session, house: House, row: Connection, outcome: str) -> None:
    """And the access token that came with it is ended, where the provider can end one alone."""
    now, facts = house.clock(), providers.find(house.settings, row.provider)
    detail = {"incident": row.suspended, "outcome": outcome}
    audit.append(session, kind="connection.traded_in", actor="system", subject=row.id, detail=detail, at=now)
    if outcome == "traded" and ends_alone(facts):
        states.end_tokens(session, row.id, now, now, facts)


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


jobs: dict[str, Callable[[House, Due], datetime | None]] = {FORGET: forget, TRADE: trade, RESUME: resume, RELEASE: release}
