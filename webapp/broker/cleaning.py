"""Leases that are over: those that nobody closed are closed, and what is older than anybody asks for is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from webapp.broker.leases import GRACE
from webapp.broker.tables import Lease
from webapp.connections.tables import Connection
from webapp.db.count import changed
from webapp.db.due import Due
from webapp.web.house import House

EVERY = timedelta(hours=1)
SOON = timedelta(seconds=1)
BATCH = 1000
"""Leases in one transaction: whoever writes meanwhile waits for no more than that."""
HANDED_OUT = "handed out"


def clean(house: House, _due: Due) -> datetime:
    """Both in bounded batches, again at once while there is more."""
    now, kept = house.clock(), timedelta(seconds=house.settings.broker.history)
    closed = house.database.write(lambda s: close_expired(s, now))
    forgotten = house.database.write(lambda s: forget(s, now - kept))
    return now + (SOON if BATCH in (closed, forgotten) else EVERY)


def close_expired(session: Session, now: datetime) -> int:
    """A token client need not give back what it was handed. An exclusive token that is known by name is ended by its own row."""
    over = (
        select(Lease.id).where(
            Lease.state == "planned", Lease.consent != "", Lease.until < now - GRACE,
            or_(Lease.exclusive.is_(False), Lease.ref == ""),
        ).order_by(Lease.until).limit(BATCH)
    )
    return changed(session.execute(
        update(Lease).where(Lease.id.in_(over), Lease.state == "planned")
        .values(state="closed", outcome=HANDED_OUT, closed_at=Lease.until),
        execution_options={"synchronize_session": False},
    ))


def forget(session: Session, before: datetime) -> int:
    """Never a lease whose token the provider has yet to be told of. By account, as the index has them."""
    old = (
        select(Lease.id).join(Connection, Connection.id == Lease.connection)
        .where(Lease.planned_at < before, or_(Lease.ref == "", Lease.state == "ended")).limit(BATCH)
    )
    return changed(session.execute(
        delete(Lease).where(Lease.id.in_(old)), execution_options={"synchronize_session": False}
    ))
