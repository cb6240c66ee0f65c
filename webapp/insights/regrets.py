"""What was approved and later regretted: by somebody's word, by a report of its agent, by no answer, by an incident."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.decoys import telling
from webapp.approvals.pace.tables import Report
from webapp.approvals.seeing import Opened, open_for
from webapp.approvals.tables import Action, ActionGroup
from webapp.connections.tables import Connection
from webapp.db.once import insert_once
from webapp.errors import BadInput, Conflict, Forbidden, said
from webapp.incidents.tables import Incident
from webapp.insights.tables import Regret
from webapp.people import lookup
from webapp.web.house import House
from webapp.web.viewer import Viewer

RAN = ("done", "failed", "uncertain")
WORDS = {
    "marked": said("Should not have run"), "reported": said("Its agent was reported afterwards"),
    "uncertain": said("Nobody knows whether it ran"), "incident": said("An incident touched it"),
}
KINDS = ("marked", "incident", "reported", "uncertain")
AFTER = timedelta(days=30)
"""How long after an action a report or an incident still says something of it."""
SOURCES, MOST, SHOWN = 50, 2000, 100
"""Reports and incidents that are looked at, the latest first; actions that are told of in all, and of one source; on the page."""


@dataclass(frozen=True)
class Why:
    """`text` is what a person wrote, or the name that an incident has."""

    kind: str
    at: datetime
    text: str = ""
    who: str = ""


@dataclass
class Regretted:
    action: Action
    why: list[Why] = field(default_factory=list)


def may_mark(opened: Opened, viewer: Viewer, now: datetime) -> bool:
    """Its own people, those who decided it, and those who may decide such: of an action that was done."""
    mine = opened.document.parties.includes(viewer.person)
    decided = any(one.person in viewer.selves for one in opened.verified.given)
    asked = bool(opened.document.groups & set(opened.speaker(viewer, now).groups))
    return opened.action.state == "done" and (mine or decided or asked)


def mark(house: House, action_id: str, viewer: Viewer, reason: str) -> None:
    """Say that it should not have run. Once for each person; it changes nothing of the action. Raises Missing, Forbidden,
    BadInput, Conflict."""
    opened, words = open_for(house, action_id, viewer), " ".join(reason.split())
    if opened.action.state != "done":
        raise Conflict("Only of an action that was done can be said that it should not have run.")
    if not may_mark(opened, viewer, house.clock()):
        raise Forbidden("Only its own people and those who are asked about such actions can say that.")
    longest = house.settings.approvals.reason_length
    if not 0 < len(words) <= longest:
        raise BadInput(said("Say why it should not have run, in at most %(longest)s characters.", longest=longest))
    house.database.write(lambda s: _mark(s, action_id, viewer.person, words, house.clock()))


def _mark(session: Session, action: str, person: str, reason: str, now: datetime) -> None:
    if not insert_once(session, Regret, action=action, person=person, reason=reason, at=now):
        raise Conflict("You said so already.")
    audit.append(session, kind="action.regretted", actor=f"person:{person}", subject=action, at=now, detail={"reason": reason})


def on(session: Session, action: str) -> list[Why]:
    """For the action's page."""
    rows = session.scalars(select(Regret).where(Regret.action == action).order_by(Regret.at).limit(SHOWN)).all()
    names = lookup.names(session, {row.person for row in rows})
    return [Why("marked", row.at, row.reason, names[row.person]) for row in rows]


def of(session: Session, since: datetime, groups: tuple[str, ...] | None = None) -> list[Regretted]:
    """Of the actions held since then, the latest MOST, the latest first. `groups` as in `figures.Scope`; such a reader is not
    told what an incident is about, nor what a report said: those are for admins and auditors."""
    where = [Action.created_at >= since, Action.decided_at.is_not(None), telling.alive_or_asked_for()]
    if groups is not None:
        where.append(Action.id.in_(select(ActionGroup.action).where(ActionGroup.name.in_(groups))))
    found: dict[str, list[Why]] = {}
    times: dict[str, datetime] = {}
    for source in (_marked, _uncertain, _reported, _touched):
        for action, at, why in source(session, where, since):
            times[action] = at
            found.setdefault(action, []).append(why if groups is None or why.kind == "marked" else replace(why, text=""))
    latest = sorted(times, key=lambda one: (times[one], one), reverse=True)[:MOST]
    return [Regretted(row, found[row.id]) for row in _rows(session, latest)]


def _rows(session: Session, ids: Sequence[str]) -> Iterable[Action]:
    for start in range(0, len(ids), 500):
        piece = ids[start:start + 500]
        rows = {row.id: row for row in session.scalars(select(Action).where(Action.id.in_(piece)))}
        yield from (rows[one] for one in piece if one in rows)


Where = Sequence[ColumnElement[bool]]
Found = Iterable[tuple[str, datetime, Why]]
"""The action, when it was held, and why it is told of. Of each source the latest MOST."""


def _held(*more: Any) -> Select[Any]:
    return select(Action.id, Action.created_at, *more).order_by(Action.created_at.desc()).limit(MOST)


def _marked(session: Session, where: Where, _since: datetime) -> Found:
    asked = _held(Regret.person, Regret.reason, Regret.at).join(Regret, Regret.action == Action.id).where(*where)
    rows = session.execute(asked).all()
    names = lookup.names(session, {row.person for row in rows})
    return [(row.id, row.created_at, Why("marked", row.at, row.reason, names[row.person])) for row in rows]


def _uncertain(session: Session, where: Where, _since: datetime) -> Found:
    """Also those that somebody closed since."""
    unsure = or_(Action.state == "uncertain", Action.closed_by.is_not(None))
    rows = session.execute(_held(func.coalesce(Action.ended_at, Action.changed_at)).where(*where, unsure))
    return [(action, held, Why("uncertain", at)) for action, held, at in rows]


def _reported(session: Session, where: Where, since: datetime) -> Found:
    """What the same agent of the same person did in the days before."""
    reports = session.scalars(select(Report).where(Report.created_at >= since).order_by(Report.id.desc()).limit(SOURCES)).all()
    for report in reports:
        same = (Action.person == report.person, Action.client.in_(report.clients))
        why = Why("reported", report.created_at, report.reason)
        yield from ((*row, why) for row in session.execute(_held().where(*where, *_before(report.created_at), *same)))


def _touched(session: Session, where: Where, since: datetime) -> Found:
    incidents = session.scalars(
        select(Incident).where(Incident.opened_at >= since).order_by(Incident.opened_at.desc()).limit(SOURCES)
    ).all()
    for incident in incidents:
        concerned = _concerned(incident)
        if concerned is not None:
            why = Why("incident", incident.opened_at, incident.name)
            yield from ((*row, why) for row in session.execute(_held().where(*where, *_before(incident.opened_at), concerned)))


def _before(at: datetime) -> tuple[ColumnElement[bool], ...]:
    started = Action.started_at.is_not(None), Action.started_at <= at, Action.started_at > at - AFTER
    return Action.state.in_(RAN), Action.created_at <= at, *started


def _concerned(incident: Incident) -> ColumnElement[bool] | None:
    """None for what stopped nothing (break-glass)."""
    one = incident.subject
    if incident.kind == "provider":
        return Action.connection.in_(select(Connection.id).where(Connection.provider == one))
    columns = {
        "person": (Action.person, Action.owner), "client": (Action.client, Action.server), "connection": (Action.connection,),
        "server": (Action.server,),
    }.get(incident.kind)
    return or_(*(column == one for column in columns)) if columns else None
