"""Looking at a server: fetch what it lists, compare, and note when and how that went. And adding one with what it lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.db.due import Due
from webapp.errors import CountersealError
from webapp.registry import deciding, drift, fetch
from webapp.registry.tables import Server
from webapp.web.house import House


def add(house: House, *, name: str, url: str, title: str = "", provider: str = "", actor: str) -> str:
    """Ask a server what it lists, and add it with all of that, approved by nobody. Raises ListingFailed, BadInput, Conflict;
    then nothing was added."""
    listed = fetch.list_tools(url)

    def work(session: Session) -> str:
        now = house.clock()
        server = deciding.add(session, name=name, url=url, title=title, provider=provider, actor=actor, now=now)
        server.looked_at = now
        drift.record(session, name, drift.texts(listed), whole=True, actor=actor, now=now)
        return server.name

    return house.database.write(work)


def look(house: House, name: str, *, actor: str = "system") -> str:
    """Look now. Returns why it did not go well, in words; empty when it did. A failed look closes nothing: what cannot be
    reached cannot be called either."""
    with house.database.read() as session:
        url = session.scalar(select(Server.url).where(Server.name == name))
    if url is None:
        return ""
    try:
        listed: Sequence[dict[str, Any]] = fetch.list_tools(url)
    except CountersealError as error:
        why = error.hint
        house.database.write(lambda s: _note(s, name, house.clock(), why))
        return why
    drift.observe(house, name, listed, whole=True, actor=actor)
    house.database.write(lambda s: _note(s, name, house.clock(), ""))
    return ""


def job(house: House, row: Due) -> datetime | None:
    """Look at one server, again and again, for as long as it is registered."""
    name = str(row.payload["server"])
    with house.database.read() as session:
        if session.scalar(select(Server.id).where(Server.name == name)) is None:
            return None
    look(house, name)
    return house.clock() + deciding.LOOK_EVERY


def _note(session: Session, name: str, now: datetime, error: str) -> None:
    session.execute(update(Server).where(Server.name == name).values(looked_at=now, look_error=error[:300]))


jobs = {deciding.LOOK: job}
