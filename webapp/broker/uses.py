"""What used a connection, read from leases: handed down to the accounts pages by `create_app`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, func, or_, select, union_all
from sqlalchemy.orm import Session

from webapp.broker.cleaning import HANDED_OUT
from webapp.broker.tables import Lease
from webapp.clients.tables import Client
from webapp.connections.tables import Connection
from webapp.connections.uses import After, Summary, Use

AGENTS_SHOWN = 8
COUNTED = 10_000
"""Uses of one account; of more than that it is said that there are more."""
TOGETHER = 100
"""Accounts in one query."""
GONE = "An agent that is gone"


def _use(lease: Lease, name: str | None) -> Use:
    """What a token client does with a token that it holds is not known here: only that it was handed out."""
    outcome = lease.outcome or (HANDED_OUT if lease.consent else "")
    return Use(
        id=lease.id, connection=lease.connection, client=name or GONE, server="" if lease.consent else lease.server,
        tool=lease.tool, at=lease.planned_at, outcome=outcome, action=lease.action, exclusive=lease.exclusive,
    )


def _lately(session: Session, connections: Sequence[str], since: datetime) -> list[tuple[str, str | None, int]]:
    """Account, agent's name and how often, the latest agent first. Of each account no more rows of the index are read than are
    counted: history goes back a year, and an agent can use an account many times a second."""
    newest = [
        select(Lease.connection, Lease.client, Lease.planned_at).where(Lease.connection == one, Lease.planned_at >= since)
        .order_by(Lease.planned_at.desc()).limit(COUNTED + 1).subquery()
        for one in connections
    ]
    used = union_all(*(select(one.c.connection, one.c.client, one.c.planned_at) for one in newest)).subquery()
    asked = (
        select(used.c.connection, Client.name, func.count()).outerjoin(Client, Client.id == used.c.client)
        .group_by(used.c.connection, used.c.client, Client.name).order_by(func.max(used.c.planned_at).desc())
    )
    return [(connection, name, count) for connection, name, count in session.execute(asked)]


class Uses:
    """`connections.uses.Reader`, from the broker's leases."""

    def latest(self, session: Session, connections: Sequence[str], limit: int, after: After | None = None) -> list[Use]:
        asked = (
            select(Lease, Client.name).outerjoin(Client, Client.id == Lease.client)
            .where(Lease.connection.in_(connections)).order_by(Lease.planned_at.desc(), Lease.id.desc()).limit(limit)
        )
        if after is not None:
            asked = asked.where(or_(
                Lease.planned_at < after.at, and_(Lease.planned_at == after.at, Lease.id < after.id)
            ))
        return [_use(lease, name) for lease, name in session.execute(asked)]

    def summaries(self, session: Session, connections: Sequence[str], since: datetime) -> Mapping[str, Summary]:
        rows = [
            row for start in range(0, len(connections), TOGETHER)
            for row in _lately(session, connections[start:start + TOGETHER], since)
        ]
        last = self._last(session, connections)
        found: dict[str, Summary] = {}
        for connection in connections:
            own = [(name or GONE, count) for one, name, count in rows if one == connection]
            names, total = tuple(dict.fromkeys(name for name, _count in own)), sum(count for _name, count in own)
            found[connection] = Summary(names[:AGENTS_SHOWN], min(total, COUNTED), last.get(connection), total > COUNTED)
        return found

    def _last(self, session: Session, connections: Sequence[str]) -> Mapping[str, Use]:
        """Of each account, in one query that reads one row of the index for each."""
        newest = (
            select(Lease.id).where(Lease.connection == Connection.id).order_by(Lease.planned_at.desc(), Lease.id.desc()).limit(1)
            .correlate(Connection).scalar_subquery()
        )
        rows = session.execute(
            select(Lease, Client.name).select_from(Connection).join(Lease, Lease.id == newest)
            .outerjoin(Client, Client.id == Lease.client).where(Connection.id.in_(connections))
        )
        return {lease.connection: _use(lease, name) for lease, name in rows}


reader = Uses()
