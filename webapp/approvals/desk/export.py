"""A list as a file: CSV (RFC 4180) or JSON, in UTF-8, of columns in clear alone, read and sent piece by piece."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from time import sleep
from typing import Literal

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import queue
from webapp.approvals.desk import filters
from webapp.approvals.desk.filters import Filter
from webapp.approvals.desk.snoozing import asleep
from webapp.approvals.queue import Tab
from webapp.approvals.tables import Action
from webapp.currencies import EXPONENTS
from webapp.people import lookup
from webapp.web.house import House
from webapp.web.viewer import Viewer

Format = Literal["csv", "json"]
MOST, PIECE = 10_000, 500
COLUMNS = (
    "id", "state", "asked_at", "expires_at", "decided_at", "started_at", "ended_at", "delivered_at", "server", "server_title",
    "tool", "tool_title", "class", "agent", "asked_for", "recipient", "recipient_called", "amount", "currency", "flags",
    "reason", "page", "receipt",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "|", "%")
"""What a spreadsheet takes for a formula or a command at the start of a cell (OWASP, CSV injection), the full-width forms too."""

Row = dict[str, str]


def begin(house: House, viewer: Viewer, tab: Tab, asked: Filter, kind: Format) -> None:
    """Record who takes what, before anything leaves."""
    detail = {"format": kind, "list": tab, "filter": asked.query(), "most": MOST}
    house.database.write(lambda s: audit.append(
        s, kind="actions.exported", actor=f"person:{viewer.person}", subject=viewer.person, at=house.clock(), detail=detail
    ))


def as_csv(house: House, viewer: Viewer, tab: Tab, asked: Filter) -> Iterator[bytes]:
    yield _lines([COLUMNS])
    for rows in pieces(house, viewer, tab, asked):
        yield _lines([harmless(row[name]) for name in COLUMNS] for row in rows)


def as_json(house: House, viewer: Viewer, tab: Tab, asked: Filter) -> Iterator[bytes]:
    """`{"actions": […], "complete": true}`: what was cut off, by the bound or by a fault, is not taken for all of it."""
    yield b'{"actions": ['
    before, count = b"\n", 0
    for rows in pieces(house, viewer, tab, asked):
        count += len(rows)
        yield b"".join((before if at == 0 else b",\n") + _object(row) for at, row in enumerate(rows))
        before = b",\n"
    complete = b"true" if count < MOST else b"false"
    yield b'\n], "complete": ' + complete + b"}\n"


def pieces(house: House, viewer: Viewer, tab: Tab, asked: Filter) -> Iterator[list[Row]]:
    """The latest MOST, the latest first, PIECE at a time, each out of `queue.WINDOW` actions at most: no read stays open while a
    slow reader reads, and a rare word keeps nobody else waiting while the whole table is looked through."""
    left, after = MOST, ""
    while left > 0:
        with house.database.read() as session:
            now = house.clock()
            found = select(Action).where(_belongs(viewer, tab, now), *filters.conditions(asked, now)).order_by(Action.id.desc())
            found = found.where(Action.id < after) if after else found
            floor = queue.floor(session, after)
            found = found.where(Action.id >= floor) if floor else found
            actions = session.scalars(found.limit(min(PIECE, left))).all()
            rows = _rows(session, house, actions)
        if rows:
            yield rows
        left -= len(actions)
        if len(actions) == PIECE:
            after = actions[-1].id
        elif floor is None:
            return
        else:
            after = floor
            sleep(0)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe in front of one that would be."""
    return "'" + cell if cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA) else cell


def amount(minor: int | None, currency: str | None) -> str:
    if minor is None or currency is None:
        return ""
    return str(Decimal(minor).scaleb(-EXPONENTS.get(currency, 0)))


def _belongs(viewer: Viewer, tab: Tab, now: datetime) -> ColumnElement[bool]:
    if tab in ("me", "snoozed"):
        put_off = asleep(viewer.person, now)
        return and_(queue.waiting_for(viewer, now), put_off if tab == "snoozed" else ~put_off)
    if tab == "others":
        return queue.under_way(viewer, now)
    if tab == "mine":
        return queue.own(viewer)
    return queue.over(viewer)


def _rows(session: Session, house: House, actions: Sequence[Action]) -> list[Row]:
    names = lookup.names(session, {action.person for action in actions})
    return [_row(action, action.person_name or names[action.person], house.settings.public_url) for action in actions]


def _row(action: Action, name: str, public_url: str) -> Row:
    page = f"{public_url}/actions/{action.id}"
    return {
        "id": action.id, "state": action.state, "asked_at": _at(action.created_at), "expires_at": _at(action.expires_at),
        "decided_at": _at(action.decided_at), "started_at": _at(action.started_at), "ended_at": _at(action.ended_at),
        "delivered_at": _at(action.delivered_at), "server": action.server, "server_title": action.server_title,
        "tool": action.tool, "tool_title": action.tool_title, "class": action.cls, "agent": action.client_name,
        "asked_for": name, "recipient": action.recipient, "recipient_called": action.named,
        "amount": amount(action.amount_minor, action.currency), "currency": action.currency or "",
        "flags": " ".join(action.flags), "reason": action.reason, "page": page, "receipt": f"{page}/receipt",
    }


def _at(when: datetime | None) -> str:
    return when.isoformat(timespec="seconds") if when else ""


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def _object(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")
