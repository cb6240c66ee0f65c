"""Due rows of this room: tokens that the keeper got and nobody knows of are ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from vault.errors import NotKnown
from webapp.connections import health_check, idle, keys
from webapp.connections.connecting import TIDY
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.web.house import House

AGAIN = timedelta(minutes=5)


def tidy(house: House, due: Due) -> datetime | None:
    """Some minutes after an attempt was finished: if no connection came of it, what the keeper may hold for it is ended."""
    with house.database.read() as session:
        if session.get(Connection, due.key) is not None:
            return None
    try:
        house.door.disconnect(connection=due.key, person=str(due.payload["person"]))
        pending = house.door.revoke(connection=due.key).outcome == "pending"
    except NotKnown:
        return None
    return house.clock() + AGAIN if pending else None


jobs: dict[str, Callable[[House, Due], datetime | None]] = {
    TIDY: tidy, keys.REMIND: keys.remind, health_check.TRY: health_check.try_, idle.RENEW: idle.renew, idle.LOOK: idle.look,
    idle.ASKED: idle.asked,
}
