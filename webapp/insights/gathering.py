"""Gathering what the figures count: once a minute, and when somebody looks. What was read is read again without harm.

Actions are found by when they last changed, with an overlap: of two transactions, the one with the earlier time may be written
last. Entries are found by their place in the tree, which has no gaps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.approvals.pace.tables import Look
from webapp.approvals.tables import Action
from webapp.audit.tables import Entry
from webapp.db.base import Base
from webapp.db.once import insert_once
from webapp.insights.tables import Gathered, Paced, RuleSpoke
from webapp.web.house import House

PIECE = 100
OVERLAP = timedelta(minutes=2)
COLUMNS = (
    Action.id, Action.created_at, Action.changed_at, Action.server, Action.tool, Action.asks_owner, Action.decided_at,
    Action.state, Action.mark,
)
HELD, DENIED = ("action.held",), ("call.denied", "token.denied")
ONLY = 1

Position = tuple[datetime, str] | None
"""When the last action that was read had changed, and its id."""


def gather(house: House, most: int = 20) -> bool:
    """In `most` pieces at most; whether everything there was is gathered now. Between two, whoever else writes has as long as one
    took: on SQLite another process would hardly ever find the database free."""
    zone = ZoneInfo(house.settings.policy.zone)
    database = house.database
    position = database.write(_begun)
    for _ in range(most):
        begun = time.monotonic()
        position, more = database.write(lambda s, after=position: _actions(s, after, zone))  # type: ignore[misc]
        if not more:
            break
        time.sleep(time.monotonic() - begun)
    else:
        return False
    for _ in range(most):
        begun = time.monotonic()
        if not database.write(_entries):
            return True
        time.sleep(time.monotonic() - begun)
    return False


def _begun(session: Session) -> Position:
    insert_once(session, Gathered, id=ONLY, changed_at=None, place=-1)
    upto = session.get_one(Gathered, ONLY).changed_at
    return None if upto is None else (upto - OVERLAP, "")


def _actions(session: Session, after: Position, zone: ZoneInfo) -> tuple[Position, bool]:
    """The next piece; how far it came, and whether there may be more. Two may have changed at one moment.

    Who gathers locks the cursor first: two that wrote the same rows in two orders would end one another."""
    cursor = session.get_one(Gathered, ONLY, with_for_update=True)
    found = select(*COLUMNS).order_by(Action.changed_at, Action.id).limit(PIECE)
    if after is not None:
        at, last = after
        beyond = or_(Action.changed_at > at, and_(Action.changed_at == at, Action.id > last))
        found = found.where(Action.changed_at >= at, beyond)
    rows = session.execute(found).all()
    if not rows:
        return after, False
    looks = _looks(session, [row.id for row in rows])
    _put(session, Paced, [_paced(row, looks.get(row.id), zone) for row in rows], ("look", "decided", "state"))
    _forget(session, [row.id for row in rows if row.mark == "decoy"])
    latest = rows[-1].changed_at
    cursor.changed_at = latest if cursor.changed_at is None else max(cursor.changed_at, latest)
    return (latest, rows[-1].id), len(rows) == PIECE


def _forget(session: Session, decoys: Sequence[str]) -> None:
    """What nobody had asked for counts nowhere, once that is known; until then it is a call like any other."""
    for table, column in ((Paced, Paced.action), (RuleSpoke, RuleSpoke.subject)):
        if decoys:
            session.execute(delete(table).where(column.in_(decoys)), execution_options={"synchronize_session": False})


def _looks(session: Session, actions: Sequence[str]) -> dict[str, datetime]:
    """When each was first shown to somebody who could decide it then. Who looks at what is over came too late to count."""
    end = func.coalesce(Action.decided_at, Action.ended_at, Look.opened_at)
    found = session.execute(
        select(Look.action, func.min(Look.opened_at)).join(Action, Action.id == Look.action)
        .where(Look.action.in_(actions), Look.opened_at.is_not(None), Look.opened_at <= end).group_by(Look.action)
    )
    return {action: at for action, at in found if at is not None}


def _paced(row: Any, look: datetime | None, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "action": row.id, "at": row.created_at, "server": row.server, "tool": row.tool,
        "hour": row.created_at.astimezone(zone).hour, "owner": row.asks_owner, "look": _seconds(row.created_at, look),
        "decided": _seconds(row.created_at, row.decided_at), "state": row.state,
    }


def _seconds(since: datetime, at: datetime | None) -> int | None:
    return None if at is None else max(0, int((at - since).total_seconds()))


def _entries(session: Session) -> bool:
    """The next piece of the log; whether there may be more."""
    cursor = session.get_one(Gathered, ONLY, with_for_update=True)
    entries = session.execute(
        select(Entry.place, Entry.id, Entry.kind, Entry.subject, Entry.at, Entry.body)
        .where(Entry.place > cursor.place).order_by(Entry.place).limit(PIECE)
    ).all()
    if not entries:
        return False
    told = [entry for entry in entries if entry.kind in (*HELD, *DENIED)]
    decoys = set(session.scalars(
        select(Action.id).where(Action.id.in_([entry.subject for entry in told]), Action.mark == "decoy")
    ))
    rows = [row for entry in told if entry.subject not in decoys for row in _spoke(entry)]
    _put(session, RuleSpoke, rows, ())
    cursor.place = entries[-1].place
    return len(entries) == PIECE


def _spoke(entry: Any) -> list[dict[str, Any]]:
    """An agent that was reported was not judged: no rule spoke."""
    held = entry.kind in HELD
    rules = json.loads(entry.body)["detail"].get("rules") or ()
    subject, verdict = (entry.subject, "hold") if held else (entry.id, "deny")
    return [{"subject": subject, "rule": rule, "verdict": verdict, "at": entry.at} for rule in sorted(set(rules))]


def _put(session: Session, table: type[Base], rows: list[dict[str, Any]], changing: tuple[str, ...]) -> None:
    if not rows:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement: Any = insert(table)
    if changing:
        statement = statement.on_conflict_do_update(
            index_elements=list(table.__mapper__.primary_key), set_={name: statement.excluded[name] for name in changing}
        )
    else:
        statement = statement.on_conflict_do_nothing()
    for start in range(0, len(rows), 100):
        session.execute(statement.values(rows[start:start + 100]))
