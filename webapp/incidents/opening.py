"""Opening an incident: one transaction that stops what may be compromised in every room, and leaves the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.rules import WAITING
from webapp.approvals.tables import Action
from webapp.approvals.transitions import move
from webapp.broker import leases
from webapp.clients import status as clients
from webapp.config import Settings
from webapp.connections import consents, idle, lookup, providers, suspension
from webapp.connections.rules import ends_alone
from webapp.connections.tables import Connection, Revocation
from webapp.db.due import enqueue_all
from webapp.db.once import insert_once
from webapp.errors import Conflict, Forbidden, said
from webapp.ids import new_id
from webapp.incidents import radius, rules, targets
from webapp.incidents.radius import Radius
from webapp.incidents.rules import Kind, Target, words
from webapp.incidents.tables import Incident, IncidentNotice, IncidentPart
from webapp.oauth import grants
from webapp.people import sessions
from webapp.people import suspension as persons
from webapp.registry import deciding as servers

FORGET = "incidents.forget"
"""Due row, by the ledger's subject: the keeper has what a server was given ended."""
TRADE = "incidents.trade"
"""Due row, by account: the refresh token of one that an incident holds is traded in."""
OUTCOME = "may be compromised"
CHUNK = 500


def look(session: Session, settings: Settings, kind: Kind, name: str, now: datetime) -> tuple[Target, Radius]:
    """The dry run. Raises Missing, BadInput."""
    target = targets.find(session, settings, kind, name)
    return target, radius.of(session, settings, target, now)


def own(session: Session, settings: Settings, kind: Kind, name: str, person: str) -> Target:
    """What a person may suspend without being an admin: themself, and their own accounts. Raises Forbidden for all else, whether
    it exists or not."""
    if kind == "person" and name == person:
        return targets.find(session, settings, kind, name)
    row = session.get(Connection, name) if kind == "connection" else None
    if row is None or row.person != person:
        raise Forbidden("You can do this for yourself and for your own accounts. Ask an administrator for the rest.")
    return targets.find(session, settings, kind, name)


def open_(session: Session, settings: Settings, target: Target, *, reason: str, actor: str, now: datetime) -> str:
    """The incident's id. In this order, so that nothing slips between:

    1. the subject is marked, and every look at it refuses from then on; 2. what it reaches is read, as the dry run reads it;
    3. calls that wait are withdrawn, which a call that is about to run meets at its own row; 4. sessions, a client's keys and
    certificates, grants, consents, tokens and accounts end or are suspended, and the ledger asks the providers; 5. the report,
    those who are told, and the entry.
    Raises Conflict when it is suspended already, BadInput.
    """
    given = words(reason)
    one_at_a_time(session)
    if target.person:
        lookup.alone(session, target.person)  # whose accounts are being connected or changed at this moment
    session.expire_all()
    if held := targets.suspended(session, target):
        raise Conflict(said("This is suspended already, by the incident %(incident)s.", incident=held))
    incident = new_id("inc")
    before = _mark(session, target, incident, actor, now)  # 1
    found = radius.of(session, settings, target, now)  # 2
    if target.kind == "connection" and not found.connections:
        raise Conflict("This account is disconnected already: nothing uses it.")
    row = Incident(
        id=incident, kind=target.kind, subject=target.id, name=target.name, person=target.person, reason=given, before=before,
        radius=radius.written(found), opened_at=now, opened_by=actor, lifted_at=None, lifted_by=None, closed_at=None,
        closed_by=None,
    )
    session.add(row)
    session.flush()
    _withdraw(session, found, actor, now)  # 3
    _end(session, target, found, incident, actor, now)  # 4
    if found.connections:
        _suspend(session, settings, target, found, incident, actor, now)
    _forget(session, settings, incident, found.receivers, target.id, now)
    session.add_all(IncidentNotice(incident=incident, person=person, dismissed_at=None) for person in found.concerned)  # 5
    counts = {part.key: part.count for part in found.parts}
    audit.append(session, kind="incident.opened", actor=actor, subject=incident, at=now,
                 detail={"kind": target.kind, "about": target.id, "reason": given, "counts": counts})
    return incident


def one_at_a_time(session: Session) -> None:
    """Incidents are opened and lifted one after the other: of two that reach one account, each must see the other. SQLite has one
    writer, PostgreSQL is asked for a lock."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(13)"))


def _mark(session: Session, target: Target, incident: str, actor: str, now: datetime) -> str:
    """What its status was. An account is marked where it is paused, after the calls that would use it were withdrawn."""
    if target.kind == "person":
        persons.suspend(session, target.id, incident)
    elif target.kind == "client":
        return clients.suspend(session, target.id, incident, actor=actor, now=now)
    elif target.kind == "server":
        return servers.suspend(session, target.id, incident, actor=actor, now=now)
    elif target.kind == "provider":
        suspension.provider(session, target.id, incident, now)
    return ""


def _withdraw(session: Session, found: Radius, actor: str, now: datetime) -> None:
    """On PostgreSQL a call that is starting holds its row: then it is running when this gets there, and is left alone."""
    for action_id in found.actions:
        action = session.scalar(
            select(Action).where(Action.id == action_id).with_for_update().execution_options(populate_existing=True)
        )
        if action is not None and action.state in WAITING:
            move(session, action, "withdrawn", now, actor=actor, reason=rules.STOPPED)


def _end(session: Session, target: Target, found: Radius, incident: str, actor: str, now: datetime) -> None:
    if target.kind == "person":
        sessions.end_all(session, person=target.id, why=OUTCOME, actor=actor, now=now)
    elif target.kind == "client":
        clients.end_proofs(session, target.id, actor=actor, now=now)
    for grant in found.grants:
        grants.revoke(session, grant, actor, OUTCOME, now)
    for start in range(0, len(found.consents), CHUNK):
        consents.end_all(session, found.consents[start:start + CHUNK], actor, now)
    for lease_id in found.leases:
        leases.close(session, lease_id, OUTCOME, now)
        if session.get(Revocation, lease_id) is not None:
            _part(session, incident, "revocation", lease_id)


def _suspend(
    session: Session, settings: Settings, target: Target, found: Radius, incident: str, actor: str, now: datetime
) -> None:
    """A suspected account may be disconnected; those that something else suspends are paused, and what may have been copied of
    them is made worthless meanwhile."""
    before, at = {row.id: row.status for row in found.connections}, {row.id: row.provider for row in found.connections}
    ends = [row for row in found.connections if rules.disconnects(target.kind, providers.find(settings, row.provider))]
    if ends:
        done = suspension.disconnect(session, ends[0], incident, actor=actor, now=now)
    else:
        done = suspension.pause(session, settings, found.connections, incident, actor=actor, now=now)
        used = [one for one in sorted(done.held) if before[one] in ("active", "paused")]
        idle.paced(session, settings, TRADE, {name: [one for one in used if at[one] == name] for name in set(at.values())}, now)
    session.add_all(
        IncidentPart(incident=incident, what="connection", subject=one, detail=before[one]) for one in sorted(done.held)
    )
    session.add_all(IncidentPart(incident=incident, what="revocation", subject=subject) for subject in done.asked)


def _forget(
    session: Session, settings: Settings, incident: str, receivers: Sequence[Connection], server: str, now: datetime
) -> None:
    """What one server was given of each of these accounts. Rows of the ledger's own: a pause of the same account settles
    another."""
    alone = {name: ends_alone(providers.find(settings, name)) for name in {row.provider for row in receivers}}
    for start in range(0, len(receivers), CHUNK):
        chunk = {f"{row.id}@{server}": row for row in receivers[start:start + CHUNK]}
        session.execute(delete(Revocation).where(Revocation.subject.in_(chunk)))
        session.add_all(
            Revocation(
                subject=subject, connection=row.id, state="pending" if alone[row.provider] else "unsupported",
                detail="" if alone[row.provider] else suspension.ALONE, requested_at=now,
                settled_at=None if alone[row.provider] else now,
            ) for subject, row in chunk.items()
        )
        session.add_all(IncidentPart(incident=incident, what="revocation", subject=subject) for subject in chunk)
        enqueue_all(session, FORGET, sorted(chunk), now)
        idle.now_(session, sorted(row.id for row in chunk.values() if row.status == "active"), now)


def _part(session: Session, incident: str, what: str, subject: str, detail: str = "") -> None:
    insert_once(session, IncidentPart, incident=incident, what=what, subject=subject, detail=detail)
