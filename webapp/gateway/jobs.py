"""The gateway's due work: legacy sessions that nobody uses are forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

from webapp.db.due import Due
from webapp.gateway.eras import legacy
from webapp.web.house import House


def sessions(house: House, _row: Due) -> datetime | None:
    """Again after as long as a session may be idle, while there is one."""
    now = house.clock()
    left = house.database.write(lambda s: legacy.clean(s, house, now))
    return now + timedelta(seconds=house.settings.gateway.session_idle) if left else None


jobs = {legacy.CLEAN: sessions}
