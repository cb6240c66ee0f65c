"""Due rows of this room: sessions that were ended here are ended at the keeper."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from vault.errors import NotKnown
from webapp.db.due import Due
from webapp.people.sessions import TELL, TELL_ALL
from webapp.people.tables import Session
from webapp.web.house import House


def session_ended(house: House, due: Due) -> datetime | None:
    """Its ticket counts for nothing any more. A row that is gone was over for a day: so is its ticket."""
    with house.database.read() as db:
        row = db.get(Session, due.key)
    if row is not None:
        with suppress(NotKnown):
            house.door.sessions_end(person=row.person, sessions=[row.cookie])
    return None


def signed_out(house: House, due: Due) -> datetime | None:
    """Everything that they had signed in to. Who signed in again while the keeper did not answer does so once more."""
    with suppress(NotKnown):
        house.door.sessions_end(person=due.key, everything=True)
    return None


jobs: dict[str, Callable[[House, Due], datetime | None]] = {TELL: session_ended, TELL_ALL: signed_out}
