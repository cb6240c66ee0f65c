"""Whether an agent read, a short while ago, what strangers can write: by a call of a tool that an admin marked so.

It is about all that the agent does for this person from then on, at every server. It only tightens: rules may ask more of its
calls (`session.tainted`), and nothing asks less.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from webapp.db.direct import Made, Where, direct
from webapp.db.once import insert_once
from webapp.gateway.tables import Asker, Tainted
from webapp.registry.pins import PinnedTool

FOUND = Made(select(Tainted.until).where(
    Tainted.person == bindparam("person"), Tainted.client == bindparam("client"), Tainted.until > bindparam("now")
))


def taint(session: Session, asker: Asker, pin: PinnedTool, now: datetime, seconds: int) -> None:
    """Before the call is sent: what it answers may steer the agent from then on. Never shortened."""
    until = now + timedelta(seconds=seconds)
    if insert_once(session, Tainted, **asker._asdict(), server=pin.server, tool=pin.tool, until=until):
        return
    row = session.get_one(Tainted, asker, with_for_update=True, populate_existing=True)
    if row.until < until:
        row.server, row.tool, row.until = pin.server, pin.tool, until


def tainted(session: Where, asker: Asker, now: datetime) -> bool:
    return direct(session).row(FOUND, {**asker._asdict(), "now": now}) is not None
