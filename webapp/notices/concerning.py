"""Whom an action concerns, and how. Nobody is told of what a page would not show them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.approvals.desk.tables import Snooze
from webapp.approvals.rules import LIVE
from webapp.approvals.tables import Action, ActionGroup, Decision, Usage
from webapp.config_notices import Notices
from webapp.notices.listening import Everyone, Lent, Listener
from webapp.notices.rules import Kind

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """An action with what is needed to say whom it concerns. `base`: its amount in the base currency, where it has one."""

    action: Action
    groups: frozenset[str]
    decided: frozenset[str] = field(default=NONE)
    asleep: frozenset[str] = field(default=NONE)
    base: int | None = None


def found(session: Session, rows: Sequence[Action], now: datetime) -> list[Found]:
    ids = [row.id for row in rows]
    groups = _by_action(session.execute(select(ActionGroup.action, ActionGroup.name).where(ActionGroup.action.in_(ids))).all())
    decided = _by_action(session.execute(select(Decision.action, Decision.person).where(Decision.action.in_(ids))).all())
    asleep = _by_action(session.execute(
        select(Snooze.action, Snooze.person).where(Snooze.action.in_(ids), Snooze.until > now)
    ).all())
    bases: dict[str | None, int | None] = {
        row.action: row.base_minor
        for row in session.execute(select(Usage.action, Usage.base_minor).where(Usage.action.in_(ids)))
    }
    return [
        Found(row, groups.get(row.id, NONE), decided.get(row.id, NONE), asleep.get(row.id, NONE), bases.get(row.id))
        for row in rows
    ]


def concerned(of: Found, everyone: Everyone, settings: Notices, now: datetime) -> Iterator[tuple[str, Kind]]:
    """Whom of those who listen the action concerns now, and how."""
    action = of.action
    for who in everyone.near(of.groups, own(action)).values():
        kind = waits(of, who, now)
        if kind is not None:
            yield who.whom, kind
            if soon(action, settings, now):
                yield who.whom, "expiring"
        if who.selves & own(action):
            if action.state == "uncertain":
                yield who.whom, "uncertain"
            elif action.state not in LIVE:
                yield who.whom, "outcome"
    if stuck(of, now):
        for who in everyone.admins:
            yield who.whom, "stuck"


def waits(of: Found, who: Listener, now: datetime) -> Kind | None:
    """As `queue.waiting_for` has it for a person; for a group: whether it is asked."""
    action = of.action
    if action.state != "held" or action.expires_at <= now or who.selves & (of.decided | of.asleep):
        return None
    if action.asks_owner and action.owner == who.whom:
        return "confirm"
    parties = {*own(action), action.server_owner, action.edited_by}
    asked = of.groups & who.groups or any(_covers(one, of, parties) for one in who.lent)
    return "approve" if asked and not who.selves & parties else None


def stuck(of: Found, now: datetime) -> bool:
    """Nobody is there who could decide it (`approvals.shortage`)."""
    return of.action.state == "held" and of.action.short != "" and of.action.expires_at > now


def soon(action: Action, settings: Notices, now: datetime) -> bool:
    left, whole = action.expires_at - now, action.expires_at - action.created_at
    return left <= min(timedelta(seconds=settings.soon), whole / 4)


def own(action: Action) -> set[str]:
    return {action.person, action.owner, action.agent_owner}


def _covers(one: Lent, of: Found, parties: Collection[str | None]) -> bool:
    """As far as columns say: `seeing.lent_to`. Above any bound is an amount that could not be read, or was only reported."""
    lent = one.delegation
    narrowed = (lent.servers, of.action.server), (lent.classes, of.action.cls)
    within = lent.up_to is None or (
        of.base is not None and abs(of.base) <= lent.up_to and "reported" not in of.action.flags
    )
    return (
        lent.group_name in of.groups and one.lenders.isdisjoint(parties) and within
        and all(not only or named in only for only, named in narrowed)
    )


def _by_action(rows: Iterable[Sequence[str]]) -> Mapping[str, frozenset[str]]:
    made: dict[str, set[str]] = {}
    for action, other in rows:
        made.setdefault(action, set()).add(other)
    return {action: frozenset(others) for action, others in made.items()}
