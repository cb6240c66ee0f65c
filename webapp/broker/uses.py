"""What used a connection, read from leases: handed down to the accounts pages by `create_app`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.broker.tables import Lease
from webapp.clients.tables import Client
from webapp.connections.uses import Reader, Summary, Use

AGENTS_SHOWN = 8


def _use(lease: Lease, name: str | None) -> Use:
    return Use(
        client=name or "An agent that is gone", server=lease.server, tool=lease.tool, at=lease.planned_at, outcome=lease.outcome,
        action=lease.action, exclusive=lease.exclusive,
    )


def latest(session: Session, connection: str, limit: int) -> list[Use]:
    rows = session.execute(
        select(Lease, Client.name).outerjoin(Client, Client.id == Lease.client)
        .where(Lease.connection == connection).order_by(Lease.planned_at.desc(), Lease.id.desc()).limit(limit)
    )
    return [_use(lease, name) for lease, name in rows]


def summaries(session: Session, connections: Sequence[str]) -> Mapping[str, Summary]:
    """The agents that used each connection, the latest first, and its last use."""
    newest = func.max(Lease.planned_at)
    rows = session.execute(
        select(Lease.connection, Client.name, newest).outerjoin(Client, Client.id == Lease.client)
        .where(Lease.connection.in_(connections)).group_by(Lease.connection, Lease.client, Client.name).order_by(newest.desc())
    ).all()
    found: dict[str, Summary] = {}
    for connection in connections:
        names = tuple(dict.fromkeys(name or "An agent that is gone" for one, name, _at in rows if one == connection))
        last = latest(session, connection, 1) if names else []
        found[connection] = Summary(names[:AGENTS_SHOWN], last[0] if last else None)
    return found


reader = Reader(summaries, latest)
