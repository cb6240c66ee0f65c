"""What the pages and commands show of incidents, read in one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.config import Settings
from webapp.db.count import changed
from webapp.errors import Missing, said
from webapp.incidents import ledger, retold
from webapp.incidents.ending import get
from webapp.incidents.ledger import Line
from webapp.incidents.tables import Incident, IncidentNotice, IncidentPart
from webapp.people import lookup as people

PAGE = 50


@dataclass(frozen=True)
class Report:
    """One incident: what was at stake when it was opened, and what each provider has answered until now."""

    incident: Incident
    opened_by: str
    lifted_by: str
    closed_by: str
    parts: Sequence[Mapping[str, Any]]
    by_hand: Sequence[str]
    ledger: list[Line]


def one(session: Session, settings: Settings, incident: str) -> Report:
    """Raises Missing."""
    row = get(session, incident)
    subjects = session.scalars(select(IncidentPart.subject).where(
        IncidentPart.incident == incident, IncidentPart.what == "revocation"
    ).order_by(IncidentPart.subject)).all()
    names = actors(session, [row])
    return Report(
        row, names[row.opened_by], names.get(row.lifted_by or "", ""), names.get(row.closed_by or "", ""),
        retold.parts(settings, row.radius), retold.by_hand(row.radius), ledger.of(session, settings, subjects),
    )


def listed(session: Session, before: str = "", size: int = PAGE) -> list[Incident]:
    """The newest first."""
    asked = select(Incident).order_by(Incident.id.desc()).limit(size)
    return list(session.scalars(asked.where(Incident.id < before) if before else asked))


def actors(session: Session, rows: Sequence[Incident]) -> dict[str, str]:
    """Actors of the log, as people read them."""
    wanted = {actor for row in rows for actor in (row.opened_by, row.lifted_by, row.closed_by) if actor}
    ids = {actor: actor.removeprefix("person:") for actor in wanted}
    names = people.names(session, ids.values())
    return {actor: said("the command line") if actor == "cli" else names[person] for actor, person in ids.items()}


def notices(session: Session, person: str) -> list[Incident]:
    """Incidents that concern this person and that they have not put away, the newest first."""
    return list(session.scalars(
        select(Incident).join(IncidentNotice, IncidentNotice.incident == Incident.id)
        .where(IncidentNotice.person == person, IncidentNotice.dismissed_at.is_(None)).order_by(Incident.id.desc()).limit(5)
    ))


def dismiss(session: Session, incident: str, person: str, now: datetime) -> None:
    """Raises Missing for a notice that is not theirs. Twice is once."""
    mine = (IncidentNotice.incident == incident, IncidentNotice.person == person)
    done = session.execute(update(IncidentNotice).where(*mine, IncidentNotice.dismissed_at.is_(None)).values(dismissed_at=now))
    if changed(done) != 1 and session.scalar(select(IncidentNotice.incident).where(*mine)) is None:
        raise Missing("There is no such notice.")
