"""Refresh tokens that end unless they are used: each is renewed before half of that time has gone, one account at a time and at a
bounded pace; the end that no use moves is foreseen; and all are renewed when somebody asks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.errors import Disconnected, NotKnown
from vault.providers.catalogue import ProviderFacts
from webapp.config import Settings
from webapp.connections import health_check, providers
from webapp.connections.tables import Connection
from webapp.db.due import Due, enqueue, enqueue_all
from webapp.web.house import House

RENEW, LOOK, ASKED = "connections.renew", "connections.renewals", "connections.renew_asked"
"""Due rows: by account; `all`, which makes those; and by account, because somebody asked."""
DAILY = timedelta(days=1)
JITTER = 0.2
"""Of half the time: accounts that were connected on one day are not renewed at one moment."""
LATER = timedelta(minutes=1)
"""What is beyond the pace (`rotation.renewals_per_minute`) waits for so long."""
MINUTE = timedelta(minutes=1)
CHUNK = 500


def renew_at(facts: ProviderFacts, connection: str, last: datetime) -> datetime | None:
    """Between two fifths and half of the time, after the last use; None where no use is needed. The same each time."""
    if facts.refresh_idle_days is None:
        return None
    part = int.from_bytes(hashlib.sha256(connection.encode()).digest()[:4], "big") / 2**32
    return last + timedelta(days=facts.refresh_idle_days) / 2 * (1 - JITTER * part)


def ends_at(facts: ProviderFacts, connected_at: datetime) -> datetime | None:
    """When the consent ends, however often it is used; None where nothing says so."""
    return connected_at + timedelta(days=facts.refresh_absolute_days) if facts.refresh_absolute_days is not None else None


def plan(house: House) -> None:
    """Called by each worker as it starts."""
    house.database.write(lambda s: enqueue(s, LOOK, "all", house.clock()))


def look(house: House, _row: Due) -> datetime:
    """Once a day: an account in use whose provider forgets what is not used has a row."""
    now, found = house.clock(), dict[str, ProviderFacts]()
    with house.database.read() as session:
        there = set(session.scalars(select(Due.key).where(Due.kind == RENEW)))
        rows = session.execute(select(Connection.id, Connection.provider).where(Connection.status == "active")).all()
    names = {row.provider for row in rows}
    found |= {name: providers.find(house.settings, name) for name in names}
    missing = sorted(row.id for row in rows if row.id not in there and found[row.provider].refresh_idle_days is not None)
    for start in range(0, len(missing), CHUNK):
        house.database.write(lambda s, chunk=missing[start:start + CHUNK]: enqueue_all(s, RENEW, chunk, now))  # type: ignore[misc]
    return now + DAILY


def now_(session: Session, connections: list[str], now: datetime) -> None:
    """Have these renewed whatever their age: what was known of them is worth less from then on."""
    for start in range(0, len(connections), CHUNK):
        enqueue_all(session, health_check.TRY, connections[start:start + CHUNK], now)


@dataclass(frozen=True)
class Planned:
    """How many are renewed, and when the last of them begins."""

    count: int
    last: datetime


def all_(session: Session, settings: Settings, provider: str, now: datetime) -> Planned:
    """Have every account in use renewed, at one provider or at all (empty), so many a minute at each. One that is to be already
    is once. API keys are their people's to replace."""
    mine = (Connection.status == "active", *([Connection.provider == provider] if provider else []))
    found: dict[str, list[str]] = {}
    for row in session.execute(select(Connection.id, Connection.provider).where(*mine).order_by(Connection.id)):
        found.setdefault(row.provider, []).append(row.id)
    return paced(session, settings, ASKED, found, now)


def paced(session: Session, settings: Settings, kind: str, accounts: Mapping[str, Sequence[str]], now: datetime) -> Planned:
    """A due row for each that can be renewed, so many a minute. `accounts`: by provider."""
    found = {name: ids for name, ids in accounts.items() if providers.find(settings, name).kind != "key"}
    last, most = now, settings.rotation.renewals_per_minute
    for ids in found.values():
        for number, start in enumerate(range(0, len(ids), most)):
            last = max(last, now + number * MINUTE)
            enqueue_all(session, kind, ids[start:start + most], now + number * MINUTE)
    return Planned(sum(map(len, found.values())), last)


def asked(house: House, due: Due) -> datetime | None:
    """Renewed once, whatever its age. Of rows that waited while no worker ran, no more than the pace allows are begun."""
    with house.database.read() as session:
        row = session.get(Connection, due.key)
    if row is None or row.status != "active":
        return None
    if not PACE.may(row.provider, house.clock(), house.settings.rotation.renewals_per_minute):
        return house.clock() + LATER
    health_check.tried(house, row)
    return None


def renew(house: House, due: Due) -> datetime | None:
    """Asks the keeper when the account was renewed last, and the provider only if that is too long ago. The row is there while
    the account is in use: another is made for one that is again."""
    with house.database.read() as session:
        row = session.get(Connection, due.key)
    if row is None or row.status != "active":
        return None
    facts = providers.find(house.settings, row.provider)
    try:
        state = house.door.connection(connection=row.id)
    except (NotKnown, Disconnected):
        return None
    at = renew_at(facts, row.id, max(state.renewed_at or row.connected_at, row.connected_at))
    if at is None or not state.renewable or state.status != "active":
        return None
    if at > house.clock():
        return at
    if not PACE.may(row.provider, house.clock(), house.settings.rotation.renewals_per_minute):
        return house.clock() + LATER
    health_check.tried(house, row)
    return renew_at(facts, row.id, house.clock())


class Pace:
    """Renewals by provider and minute, in this process."""

    def __init__(self) -> None:
        self._minute, self._counts, self._lock = 0, dict[str, int](), threading.Lock()

    def may(self, provider: str, now: datetime, most: int) -> bool:
        with self._lock:
            minute = int(now.timestamp()) // 60
            if minute != self._minute:
                self._minute, self._counts = minute, {}
            self._counts[provider] = self._counts.get(provider, 0) + 1
            return self._counts[provider] <= most


PACE = Pace()
