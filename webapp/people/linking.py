"""Two sign-ins of one human: the keeper's record is what counts; the row beside it is for pages, and can only tighten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.people.tables import Person
from webapp.web.house import House


def link(house: House, one: str, other: str) -> tuple[str, ...]:
    """All sign-ins that are one human from now on. Raises KeeperError: not known to it, or not asked by an operator."""
    together = house.door.person_link(one, other)
    house.database.write(lambda s: _mirror(s, house, together, frozenset(), "person.linked"))
    return together


def unlink(house: House, person: str) -> tuple[str, ...]:
    """The sign-ins that this one was linked to. For what was held before they stay one human."""
    parted = house.door.person_unlink(person)
    house.database.write(lambda s: _mirror(s, house, (person,), frozenset(parted), "person.unlinked"))
    return parted


def others(session: Session, persons: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """By sign-in, the others of the same human, as the rows say: to show, and to tighten."""
    if not (asked := set(persons)):
        return {}
    found = session.execute(select(Person.id, Person.same_as).where(Person.id.in_(asked)))
    return {person: tuple(same) for person, same in found if same}


def _mirror(session: Session, house: House, persons: tuple[str, ...], parted: frozenset[str], kind: str) -> None:
    rows = session.scalars(select(Person).where(Person.id.in_({*persons, *parted})).with_for_update()).all()
    for row in rows:
        if not parted:
            row.same_as = sorted({*row.same_as, *persons} - {row.id})
        else:
            gone = parted if row.id in persons else set(persons)
            row.same_as = sorted(set(row.same_as) - gone)
    audit.append(session, kind=kind, actor="cli", subject=persons[0], at=house.clock(),
                 detail={"persons": sorted({*persons, *parted})})
