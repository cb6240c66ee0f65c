"""Who listens: persons and groups with a channel, found by what makes something their concern.

Groups are those of the last sign-in: whom to tell, not whom to believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from webapp.config import People
from webapp.notices.tables import Channel
from webapp.people import linking
from webapp.people.tables import Delegation, Person

GROUP = "group:"


@dataclass(frozen=True)
class Lent:
    """What stands now of what somebody lent. `lenders`: all their sign-ins."""

    delegation: Delegation
    lenders: frozenset[str]


@dataclass(frozen=True)
class Listener:
    """A person or group with a channel. `selves`: a person's sign-ins; `lent`: what others lent them."""

    whom: str
    groups: frozenset[str]
    selves: frozenset[str] = frozenset()
    lent: tuple[Lent, ...] = ()
    admin: bool = False


@dataclass(frozen=True)
class Everyone:
    """All who listen, by what they may be concerned with: an action is not compared with each of a thousand people."""

    listeners: tuple[Listener, ...]

    @cached_property
    def by_group(self) -> Mapping[str, list[Listener]]:
        found: dict[str, list[Listener]] = {}
        for one in self.listeners:
            for group in one.groups | {lent.delegation.group_name for lent in one.lent}:
                found.setdefault(group, []).append(one)
        return found

    @cached_property
    def by_self(self) -> Mapping[str, list[Listener]]:
        found: dict[str, list[Listener]] = {}
        for one in self.listeners:
            for person in one.selves:
                found.setdefault(person, []).append(one)
        return found

    @cached_property
    def admins(self) -> list[Listener]:
        return [one for one in self.listeners if one.admin]

    def near(self, groups: Iterable[str], persons: Iterable[str]) -> dict[str, Listener]:
        """Those of one of these groups, and these persons."""
        found = [one for group in groups for one in self.by_group.get(group, ())]
        return {one.whom: one for one in [*found, *(one for person in persons for one in self.by_self.get(person, ()))]}


def everyone(session: Session, settings: People, now: datetime, only: str = "") -> Everyone:
    """Nobody who is suspended. `only`: that person or group, if they have a channel."""
    asked = select(Channel.whom).distinct()
    whoms = sorted(session.scalars(asked.where(Channel.whom == only) if only else asked))
    admin = frozenset(settings.admin_groups)
    groups = [
        Listener(whom, own, admin=bool(own & admin)) for whom in whoms if whom.startswith(GROUP)
        for own in (frozenset({whom.removeprefix(GROUP)}),)
    ]
    return Everyone((*groups, *_people(session, [whom for whom in whoms if not whom.startswith(GROUP)], admin, now)))


def _people(session: Session, whoms: list[str], admin: frozenset[str], now: datetime) -> list[Listener]:
    lent: dict[str, list[Lent]] = {}
    stands = and_(Delegation.since <= now, Delegation.until > now, Delegation.ended_at.is_(None))
    found = session.scalars(select(Delegation).where(stands, Delegation.person.in_(whoms)).order_by(Delegation.id)).all()
    same_as = linking.others(session, {one.lender for one in found})
    for one in found:
        lent.setdefault(one.person, []).append(Lent(one, frozenset({one.lender, *same_as.get(one.lender, ())})))
    rows = session.execute(
        select(Person.id, Person.groups, Person.same_as).where(Person.id.in_(whoms), Person.suspended == "").order_by(Person.id)
    )
    return [
        Listener(person, frozenset(own), frozenset({person, *same}), tuple(lent.get(person, ())), bool(admin & set(own)))
        for person, own, same in rows
    ]
