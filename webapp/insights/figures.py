"""How long it takes until somebody looks, and until it is decided: exact medians and 95th percentiles (nearest rank), counted in
the database from one index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import KeyedColumnElement

from webapp.approvals.tables import ActionGroup
from webapp.insights.tables import Paced

By = Literal["all", "group", "tool", "hour"]
BYS: tuple[By, ...] = ("all", "group", "tool", "hour")
RANGES = (7, 30, 90)
MOST = 100
"""Rows of one table: those with the most cases."""


@dataclass(frozen=True)
class Spread:
    """`median` and `p95` are seconds, and None where there are too few cases to say."""

    cases: int = 0
    median: int | None = None
    p95: int | None = None


@dataclass(frozen=True)
class Line:
    """One group, tool or hour. `key`: group; server and tool; hour. A group of no name is the owner's own word."""

    key: tuple[str | int, ...]
    look: Spread
    decided: Spread


@dataclass(frozen=True)
class Scope:
    """What may be counted. `groups`: only what these were asked about; None: everything."""

    since: datetime
    few: int
    groups: tuple[str, ...] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        if self.groups is None:
            return [Paced.at >= self.since]
        asked = select(ActionGroup.action).where(ActionGroup.name.in_(self.groups))
        return [Paced.at >= self.since, Paced.action.in_(asked)]


def of(session: Session, scope: Scope, by: By) -> list[Line]:
    """Most cases first; hours in order."""
    looks, decided = _spreads(session, scope, by, Paced.look), _spreads(session, scope, by, Paced.decided)
    lines = [Line(key, looks.get(key, Spread()), decided.get(key, Spread())) for key in looks.keys() | decided.keys()]
    if by == "hour":
        return sorted(lines, key=lambda line: line.key)
    return sorted(lines, key=lambda line: (-max(line.look.cases, line.decided.cases), line.key))[:MOST]


def _spreads(session: Session, scope: Scope, by: By, measure: Any) -> dict[tuple[str | int, ...], Spread]:
    found = _counted(session, scope, _keys(by), measure, grouped=by == "group")
    if by == "group" and scope.groups is None:
        own = _counted(session, scope, [literal("").label("k0")], measure, more=[Paced.owner])
        found |= own
    return found


def _keys(by: By) -> list[KeyedColumnElement[Any]]:
    if by == "group":
        return [ActionGroup.name.label("k0")]
    if by == "tool":
        return [Paced.server.label("k0"), Paced.tool.label("k1")]
    return [Paced.hour.label("k0")] if by == "hour" else [literal("").label("k0")]


def _counted(
    session: Session, scope: Scope, keys: Sequence[KeyedColumnElement[Any]], measure: Any, *, grouped: bool = False,
    more: Sequence[Any] = (),
) -> dict[tuple[str | int, ...], Spread]:
    """The smallest value that so many per cent of the cases do not pass."""
    place = func.row_number().over(partition_by=keys, order_by=measure).label("place")
    total = func.count().over(partition_by=keys).label("total")
    ranked = select(*keys, measure.label("value"), place, total).where(measure.is_not(None), *scope.conditions(), *more)
    if grouped:
        ranked = ranked.select_from(Paced).join(ActionGroup, ActionGroup.action == Paced.action)
        if scope.groups is not None:
            ranked = ranked.where(ActionGroup.name.in_(scope.groups))
    row = ranked.subquery().c
    names = [row[key.key] for key in keys]
    rows = session.execute(select(
        *names, func.max(row.total), func.min(row.value).filter(row.place * 2 >= row.total),
        func.min(row.value).filter(row.place * 100 >= row.total * 95),
    ).group_by(*names))
    width = len(keys)
    return {tuple(found[:width]): _spread(*found[width:], few=scope.few) for found in rows.all()}


def _spread(cases: int, median: int, p95: int, *, few: int) -> Spread:
    return Spread(cases, median, p95) if cases >= few else Spread(cases)
