"""Whether an agent read, a short while ago, what strangers can write: by a call of a tool that an admin marked so.

It only tightens: rules may ask more of a call from such a session (`session.tainted`), and nothing asks less.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from webapp.db.direct import Made, Where, direct
from webapp.db.once import insert_once
from webapp.gateway.tables import Tainted
from webapp.registry.pins import PinnedTool

FOUND = Made(select(Tainted.until).where(Tainted.grant_id == bindparam("grant"), Tainted.until > bindparam("now")))


def taint(session: Session, grant: str, pin: PinnedTool, now: datetime, seconds: int) -> None:
    """Before the call is sent: what it answers may steer the agent from then on. Never shortened."""
    until = now + timedelta(seconds=seconds)
    if insert_once(session, Tainted, grant_id=grant, server=pin.server, tool=pin.tool, until=until):
        return
    row = session.scalars(
        select(Tainted).where(Tainted.grant_id == grant).with_for_update().execution_options(populate_existing=True)
    ).one()
    if row.until < until:
        row.server, row.tool, row.until = pin.server, pin.tool, until


def tainted(session: Where, grant: str, now: datetime) -> bool:
    return direct(session).row(FOUND, {"grant": grant, "now": now}) is not None
