"""Trying each account, once: after a restore, the provider may know nothing of the refresh tokens that the copy has."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.errors import Disconnected, NeedsConsent, NotKnown, Paused
from webapp.connections import providers, states
from webapp.connections.rules import ends_alone
from webapp.connections.tables import Connection
from webapp.db.due import Due, enqueue, enqueue_all
from webapp.web.house import House

TRY = "connections.try"
AT_ONCE = 500
UNKNOWN = "It was connected after the backup was taken that this instance was restored from. Reconnect it."


def all_(session: Session, now: datetime) -> int:
    """Have every account in use tried; how many. A paused one is left alone until somebody uses it."""
    found = list(session.scalars(select(Connection.id).where(Connection.status == "active")))
    for connection in found:
        enqueue(session, TRY, connection, now)
    return len(found)


def ended(session: Session, since: datetime, now: datetime) -> int:
    """Have the keeper told once more of every account that is paused, and of those disconnected `since`; how many. The vault of a
    copy is a little older than its database, and may hold them for usable; so may one whose due row was done in between."""
    paused = list(session.scalars(select(Connection.id).where(Connection.status == "paused")))
    gone = list(session.scalars(select(Connection.id).where(Connection.status == "disconnected", Connection.ended_at >= since)))
    for kind, found in ((states.END_TOKENS, paused), (states.REVOKE, gone)):
        for start in range(0, len(found), AT_ONCE):
            enqueue_all(session, kind, found[start:start + AT_ONCE], now)
    return len(paused) + len(gone)


def try_(house: House, due: Due) -> datetime | None:
    """A provider that is away is asked again by the worker. One that refuses ends it: the person's page asks to reconnect."""
    with house.database.read() as session:
        row = session.get(Connection, due.key)
    if row is not None and row.status == "active":
        tried(house, row)
    return None


def tried(house: House, row: Connection) -> None:
    """Renewed once. Raises what a provider or vault that is away raises."""
    try:
        receiver = house.door.try_renewal(connection=row.id)
        house.door.forget(connection=row.id, person=row.person, receiver=receiver)
    except (NeedsConsent, NotKnown) as error:
        hint = UNKNOWN if isinstance(error, NotKnown) else error.hint
        house.database.write(lambda s: states.needs_consent(s, row.id, hint, house.clock()))
        return
    except (Disconnected, Paused):
        return
    now, facts = house.clock(), providers.find(house.settings, row.provider)
    if ends_alone(facts):  # else the keeper holds nothing of it that could be ended
        house.database.write(lambda s: states.end_tokens(s, row.id, now, now, facts))
