"""The auditors' page: what was recorded, and whether it is signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.audit.sequencer import pending
from webapp.audit.tables import Checkpoint, Entry
from webapp.errors import said
from webapp.web import guards
from webapp.web.house import house

blueprint = Blueprint("audit", __name__)

PAGE = 50


@dataclass(frozen=True)
class Line:
    id: str
    at: datetime
    kind: str
    actor: str
    who: str
    """The actor in words, as far as it has a name."""
    subject: str
    place: int | None
    detail: dict[str, Any]


Names = Callable[[Session, Iterable[str]], dict[str, str]]
"""Names by person id; handed down by `create_app`, since persons live on a floor above."""


def lines(session: Session, names: Names, *, subject: str, kind: str, before: str, limit: int = PAGE) -> list[Line]:
    """Entries, newest first; `kind` is a prefix, `before` an entry id."""
    query = select(Entry).order_by(Entry.id.desc()).limit(limit)
    if subject:
        query = query.where(Entry.subject == subject)
    if kind:
        query = query.where(Entry.kind.startswith(kind, autoescape=True))
    if before:
        query = query.where(Entry.id < before)
    entries = session.scalars(query).all()
    named = names(session, {entry.actor.removeprefix("person:") for entry in entries})
    return [_line(entry, named) for entry in entries]


def _line(entry: Entry, named: dict[str, str]) -> Line:
    kind, _, name = entry.actor.partition(":")
    who = named.get(name, name) if kind == "person" else {"client": said("an agent")}.get(kind, entry.actor)
    detail = json.loads(entry.body)["detail"]
    return Line(entry.id, entry.at, entry.kind, entry.actor, who, entry.subject, entry.place, detail)


@blueprint.get("/log")
@guards.auditor
def log() -> str:
    asked = {name: request.args.get(name, "")[:100] for name in ("subject", "kind", "before")}
    with house().database.read() as session:
        names = current_app.extensions["names"]
        found = lines(session, names, subject=asked["subject"], kind=asked["kind"], before=asked["before"])
        head = session.scalar(select(Checkpoint).order_by(Checkpoint.size.desc()).limit(1))
        waiting = pending(session)
    return render_template("audit/page.html", lines=found, head=head, waiting=waiting, asked=asked, more=len(found) == PAGE)
