"""Lifting a suspension, and closing an incident: two acts, neither of which the person it is about may do."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, and_, or_, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients import status as clients
from webapp.connections import suspension
from webapp.connections.tables import Connection
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.db.once import insert_once
from webapp.errors import Conflict, Forbidden, Missing
from webapp.incidents.opening import one_at_a_time
from webapp.incidents.rules import NO_NOTE, may_end, words
from webapp.incidents.tables import Incident, IncidentPart
from webapp.people import linking
from webapp.people import suspension as persons
from webapp.registry import deciding as servers

RESUME = "incidents.resume"
"""Due row, by account: it is resumed at the keeper, then here."""
RELEASE = "incidents.release"
"""Due row, by incident: the rest of its accounts are released."""
AT_ONCE = 100
NOT_YOURS = "It is about you or what is yours: another administrator has to do this."


def get(session: Session, incident: str) -> Incident:
    """Raises Missing."""
    found = session.get(Incident, incident, populate_existing=True)
    if found is None:
        raise Missing("There is no such incident.")
    return found


def lift(session: Session, incident: str, actor: str, now: datetime) -> None:
    """What it suspended may be used again. What it ended stays ended: people sign in, agree and connect anew. Raises Missing,
    Forbidden for whom it is about, Conflict when somebody was first."""
    one_at_a_time(session)
    row = _theirs(session, incident, actor)
    done = session.execute(
        update(Incident).where(Incident.id == incident, Incident.lifted_at.is_(None)).values(lifted_at=now, lifted_by=actor)
    )
    if changed(done) != 1:
        raise Conflict("This was resumed already.")
    if row.kind == "person":
        persons.lift(session, row.subject, incident)
    elif row.kind == "client":
        clients.lift(session, row.subject, incident, row.before)
    elif row.kind == "server":
        servers.lift(session, row.subject, incident, row.before)
    elif row.kind == "provider":
        suspension.lift_provider(session, row.subject, incident)
    if release(session, incident, actor, now):
        enqueue(session, RELEASE, incident, now, {"actor": actor})
    detail = {"kind": row.kind, "about": row.subject}
    audit.append(session, kind="incident.lifted", actor=actor, subject=incident, detail=detail, at=now)


def close(session: Session, incident: str, note: str, actor: str, now: datetime) -> None:
    """Somebody has looked into it and says what they found. Lifts nothing. Raises Missing, Forbidden, BadInput, Conflict."""
    _theirs(session, incident, actor)
    given = words(note, NO_NOTE)
    done = session.execute(
        update(Incident).where(Incident.id == incident, Incident.closed_at.is_(None))
        .values(closed_at=now, closed_by=actor, note=given)
    )
    if changed(done) != 1:
        raise Conflict("This incident was closed already.")
    audit.append(session, kind="incident.closed", actor=actor, subject=incident, detail={"note": given}, at=now)


def _theirs(session: Session, incident: str, actor: str) -> Incident:
    row = get(session, incident)
    if not may(session, row, actor):
        raise Forbidden(NOT_YOURS)
    return row


def may(session: Session, row: Incident, actor: str) -> bool:
    return may_end(row.person, actor, linking.others(session, [row.person]).get(row.person, ()))


def release(session: Session, incident: str, actor: str, now: datetime) -> bool:
    """Some of the accounts that a lifted incident holds; whether there are more. A provider's may be thousands, and nobody else
    could write while they are all released at once."""
    held = select(Connection).where(Connection.suspended == incident).order_by(Connection.id).limit(AT_ONCE + 1)
    rows = session.scalars(held).all()
    for row in rows[:AT_ONCE]:
        part = session.get(IncidentPart, (incident, "connection", row.id))
        _release(session, incident, row, part.detail if part is not None else "", actor, now)
    return len(rows) > AT_ONCE


def _release(session: Session, incident: str, connection: Connection, before: str, actor: str, now: datetime) -> None:
    """An account that another incident reaches too stays suspended, by that one."""
    other = session.scalar(_covering(connection, incident))
    suspension.pass_on(session, connection.id, incident, other or "")
    if other is not None:
        insert_once(session, IncidentPart, incident=other, what="connection", subject=connection.id, detail=before)
    elif before == "active":
        enqueue(session, RESUME, connection.id, now, {"actor": actor})


def _covering(connection: Connection, besides: str) -> Select[str]:
    about = or_(*(
        and_(Incident.kind == kind, Incident.subject == subject) for kind, subject in
        (("person", connection.person), ("connection", connection.id), ("provider", connection.provider))
    ))
    return select(Incident.id).where(Incident.id != besides, Incident.lifted_at.is_(None), about).order_by(Incident.id).limit(1)
