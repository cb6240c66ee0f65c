"""A listing compared with what was approved. A changed tool is closed at once, both texts kept; a new one is not open yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.errors import BadInput
from webapp.ids import new_id
from webapp.registry import deciding, digest
from webapp.registry.rules import next_status
from webapp.registry.tables import Server, Tool
from webapp.web.house import House

MOST = 500
"""Tools kept per server: a server cannot fill the database by listing new names."""

EVENTS = {"drifted": "tool.drifted", "gone": "tool.gone", "approved": "tool.restored", "new": "tool.changed"}


def observe(
    house: House, server_name: str, listed: Sequence[Mapping[str, Any]], *, whole: bool = False, actor: str = "system"
) -> set[str]:
    """Compare what a server lists now with what was approved, record what differs, and return the names of tools that are
    drifted.

    `whole`: the listing was got without anybody's token, so that a tool that was in such a listing before, and is missing now,
    is gone. A listing got with one person's token says nothing of that: a server may show other people more. Reads only,
    where nothing differs.
    """
    seen = texts(listed)
    with house.database.read() as session:
        rows = _rows(session, server_name)
        if not _changes(rows, seen, whole):
            return {name for name, row in rows.items() if row.status == "drifted"}
    return house.database.write(lambda s: record(s, server_name, seen, whole=whole, actor=actor, now=house.clock()))


def texts(listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Canonical text by name. What cannot be pinned gets a text that says so and equals nothing that was ever approved; so do
    two tools under one name, since nobody could say which of them would run."""
    found: dict[str, str] = {}
    for tool in listed:
        name = tool.get("name")
        if not isinstance(name, str) or not digest.TOOL_NAME.fullmatch(name):
            continue
        try:
            text = digest.description(tool)
        except BadInput as error:
            text = digest.unreadable(name, error.hint)
        if found.setdefault(name, text) != text:
            found[name] = digest.unreadable(name, "The server lists two tools under this name.")
    return found


def record(
    session: Session, server_name: str, seen: Mapping[str, str], *, whole: bool, actor: str, now: datetime
) -> set[str]:
    """Write down what differs, with an entry for each tool, and bring the manifest up to date. In the caller's transaction."""
    server = deciding.locked(session, server_name)
    rows = _rows(session, server_name)
    for name, row in rows.items():
        row.openly = row.openly or (whole and name in seen)
        if name in seen or (whole and row.openly):
            _move(session, server, row, seen.get(name), actor, now)
    for name in sorted(seen.keys() - rows.keys())[: max(0, MOST - len(rows))]:
        _new(session, server, name, seen[name], openly=whole, actor=actor, now=now)
    deciding.remanifest(session, server)
    return {name for name, row in rows.items() if row.status == "drifted"}


def _changes(rows: Mapping[str, Tool], seen: Mapping[str, str], whole: bool) -> bool:
    if seen.keys() - rows.keys() and len(rows) < MOST:
        return True
    if whole and any(name in seen and not row.openly for name, row in rows.items()):
        return True
    return any(_differs(row, seen.get(name)) for name, row in rows.items() if name in seen or (whole and row.openly))


def _differs(row: Tool, listed: str | None) -> bool:
    return next_status(row.status, approved=row.approved, listed=listed) != row.status or listed not in (None, row.listed)


def _move(session: Session, server: Server, row: Tool, listed: str | None, actor: str, now: datetime) -> None:
    if not _differs(row, listed):
        return
    before, row.status = row.status, next_status(row.status, approved=row.approved, listed=listed)
    row.listed, row.changed_at = listed or row.listed, now
    session.flush()
    audit.append(
        session, kind=EVENTS.get(row.status, "tool.changed"), actor=actor, subject=row.id, at=now,
        detail={
            "server": server.name, "tool": row.name, "before": before, "status": row.status, "pin": row.pin,
            "approved": digest.of(row.approved) if row.approved else "", "listed": digest.of(row.listed),
        },
    )


def _new(session: Session, server: Server, name: str, text: str, *, openly: bool, actor: str, now: datetime) -> None:
    row = Tool(
        id=new_id("tool"), server_id=server.id, name=name, status="new", listed=text, openly=openly, first_seen_at=now,
        changed_at=now,
    )
    session.add(row)
    session.flush()
    audit.append(
        session, kind="tool.listed", actor=actor, subject=row.id, at=now,
        detail={"server": server.name, "tool": name, "listed": digest.of(text)},
    )


def _rows(session: Session, server_name: str) -> dict[str, Tool]:
    query = select(Tool).join(Server, Tool.server_id == Server.id).where(Server.name == server_name)
    return {row.name: row for row in session.scalars(query.execution_options(populate_existing=True))}
