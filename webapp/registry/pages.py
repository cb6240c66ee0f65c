"""What the registry's pages show, read in one session."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.errors import CountersealError, Missing, said
from webapp.registry import compare, digest, pins, suggest
from webapp.registry.compare import Change
from webapp.registry.forms import ToolForm
from webapp.registry.rules import Approval
from webapp.registry.tables import Server, Tool

ORDER = ("drifted", "new", "approved", "refused", "gone")
CLASSES = {
    "read": said("Only reads"),
    "write": said("Changes one’s own data; can be undone"),
    "send": said("Reaches somebody else, or the outside"),
    "money": said("Moves money"),
    "destroy": said("Destroys, or nobody knows what it does"),
}


Preview = Callable[[Mapping[str, Any], bytes, str], list[tuple[str, str, bool]]]
"""What a rule would see of a sample call, a line each, and whether it could be read. Handed down: policy is on this floor."""


@dataclass(frozen=True)
class Handed:
    """What `create_app` hands to these pages: `preview` reads facts, `unusable` says why a schema cannot be checked against."""

    preview: Preview
    unusable: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class ServerLine:
    name: str
    title: str
    url: str
    status: str
    counts: Mapping[str, int]
    looked_at: datetime | None
    look_error: str


@dataclass(frozen=True)
class ToolLine:
    name: str
    title: str
    status: str
    cls: str
    facts: tuple[tuple[str, str], ...]
    credential: str
    decided_at: datetime | None


@dataclass(frozen=True)
class ToolPage:
    """One tool for an admin to decide on. `seen` is the digest of what `parts` shows: it goes back with the form."""

    server: str
    server_title: str
    name: str
    title: str
    status: str
    seen: str
    said: str
    parts: list[tuple[str, str]]
    changes: list[Change]
    unreadable: str
    unusable: str
    form: ToolForm
    because: tuple[str, ...]
    sample: str
    hints: tuple[str, ...]
    decided_at: datetime | None


def servers(session: Session) -> list[ServerLine]:
    counts: dict[str, dict[str, int]] = {}
    grouped = select(Tool.server_id, Tool.status, func.count()).group_by(Tool.server_id, Tool.status)
    for server_id, status, count in session.execute(grouped):
        counts.setdefault(server_id, {})[status] = count
    return [
        ServerLine(s.name, s.title, s.url, s.status, counts.get(s.id, {}), s.looked_at, s.look_error)
        for s in session.scalars(select(Server).order_by(Server.title))
    ]


def server(session: Session, name: str) -> tuple[Server, list[ToolLine]]:
    """The server and its tools, those that ask for a decision first. Raises Missing."""
    found = _server(session, name)
    rows = session.scalars(select(Tool).where(Tool.server_id == found.id))
    return found, [_line(row) for row in sorted(rows, key=lambda row: (ORDER.index(row.status), row.name))]


def tool(session: Session, server_name: str, name: str, handed: Handed, form: ToolForm | None = None) -> ToolPage:
    """The page of one tool; `form` is one that was sent and did not pass. Raises Missing."""
    owner = _server(session, server_name)
    row = session.scalar(select(Tool).where(Tool.server_id == owner.id, Tool.name == name))
    if row is None:
        raise Missing("The server has no such tool.")
    listed = json.loads(row.listed)
    unreadable = digest.why_unreadable(row.listed)
    filled, because = _filled(row, listed, owner.provider, bool(unreadable))
    return ToolPage(
        server=owner.name, server_title=owner.title, name=row.name, title=pins.title(listed), status=row.status,
        seen=digest.of(row.listed), said=str(listed.get("description", ""))[:20_000], parts=compare.parts(row.listed),
        changes=compare.changes(row.approved, row.listed) if row.approved and row.approved != row.listed else [],
        unreadable=unreadable, unusable="" if unreadable else handed.unusable(listed["inputSchema"]),
        form=form or filled, because=because, sample=sample(listed), hints=_hints(listed), decided_at=row.decided_at,
    )


def preview(handed: Handed, form: ToolForm, arguments: str) -> tuple[list[tuple[str, str, bool]], str]:
    """What a rule would see of the sample, line by line, and what is wrong with the form or the sample, in words."""
    try:
        return handed.preview(form.approval().pointers, arguments.encode(), form.cls), ""
    except CountersealError as error:
        return [], error.hint


def sample(listed: Mapping[str, Any]) -> str:
    """Arguments that look like a call's, made from the schema's own examples where it has some."""
    schema = listed.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    made = {name: _example(name, field) for name, field in (properties if isinstance(properties, dict) else {}).items()}
    return json.dumps(made, indent=2, ensure_ascii=False)[:8000]


def _example(name: str, field: Any) -> Any:
    if not isinstance(field, dict):
        return "…"
    for key in ("example", "default", "const"):
        if key in field:
            return field[key]
    for key in ("examples", "enum"):
        if isinstance(field.get(key), list) and field[key]:
            return field[key][0]
    if name.startswith("currency"):
        return "EUR"
    numeric = field.get("type") in ("number", "integer")
    if name.startswith("amount"):
        return 480 if numeric else "480.00"
    return {"number": 1, "integer": 1, "boolean": False, "array": [], "object": {}}.get(str(field.get("type")), "…")


def _filled(row: Tool, listed: Mapping[str, Any], provider: str, unreadable: bool) -> tuple[ToolForm, tuple[str, ...]]:
    """What was approved before; else a suggestion, with where it comes from."""
    if row.approved:
        use = row.credential or {}
        return ToolForm.of(Approval(
            row.cls, row.pointers, row.changes_recipients, use.get("provider", ""), tuple(use.get("scopes", ())),
            use.get("placement", "authorization"), row.outside,
        )), ()
    if unreadable:
        return ToolForm(provider=provider), ()
    suggested = suggest.suggest(listed)
    form = ToolForm.of(suggested.approval)
    return ToolForm(**{**form.__dict__, "provider": provider}), suggested.because


def _server(session: Session, name: str) -> Server:
    found = session.scalar(select(Server).where(Server.name == name))
    if found is None:
        raise Missing("There is no such server.")
    return found


def _line(row: Tool) -> ToolLine:
    use = row.credential
    return ToolLine(
        row.name, pins.title(json.loads(row.listed)), row.status, row.cls,
        tuple((fact, where.get("pointer") or where.get("is", "")) for fact, where in row.pointers.items()),
        f"{use['provider']}: {' '.join(use['scopes'])}" if use else "", row.decided_at,
    )


def _hints(listed: Mapping[str, Any]) -> tuple[str, ...]:
    notes = listed.get("annotations")
    return tuple(f"{name}: {json.dumps(value)[:80]}" for name, value in notes.items()) if isinstance(notes, dict) else ()
