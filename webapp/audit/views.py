"""The auditors' page: what was recorded, and whether it is signed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.audit.sequencer import pending
from webapp.audit.tables import Checkpoint, Entry
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
    subject: str
    place: int | None
    detail: dict[str, Any]


def lines(session: Session, *, subject: str, kind: str, before: str, limit: int = PAGE) -> list[Line]:
    """Entries, newest first; `kind` is a prefix, `before` an entry id."""
    query = select(Entry).order_by(Entry.id.desc()).limit(limit)
    if subject:
        query = query.where(Entry.subject == subject)
    if kind:
        query = query.where(Entry.kind.startswith(kind, autoescape=True))
    if before:
        query = query.where(Entry.id < before)
    return [
        Line(e.id, e.at, e.kind, e.actor, e.subject, e.place, json.loads(e.body)["detail"]) for e in session.scalars(query)
    ]


@blueprint.get("/log")
@guards.auditor
def log() -> str:
    asked = {name: request.args.get(name, "")[:100] for name in ("subject", "kind", "before")}
    with house().database.read() as session:
        found = lines(session, subject=asked["subject"], kind=asked["kind"], before=asked["before"])
        head = session.scalar(select(Checkpoint).order_by(Checkpoint.size.desc()).limit(1))
        waiting = pending(session)
    return render_template("audit/page.html", lines=found, head=head, waiting=waiting, asked=asked, more=len(found) == PAGE)
