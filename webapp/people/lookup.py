"""Names and members as the last sign-ins said: for display and for notices, never for a decision. And whom an operator means."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Text, bindparam, cast, func, or_, select
from sqlalchemy.orm import Session

from webapp.db.direct import Made, Where, direct
from webapp.errors import BadInput, Missing, said
from webapp.people.tables import Person

NAME = Made(select(Person.name).where(Person.id == bindparam("person")))


def names(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """Names by person id. Who is not known keeps their id as a name."""
    wanted = set(ids)
    known = session.execute(select(Person.id, Person.name).where(Person.id.in_(wanted)))
    return {person: person for person in wanted} | {person: name for person, name in known if name}


def name_of(session: Where, person: str) -> str:
    """The same of one."""
    row = direct(session).row(NAME, {"person": person})
    return (row and row[0]) or person


def zone(session: Session, person: str) -> str:
    """The time zone that this person wants times in."""
    return session.scalar(select(Person.zone).where(Person.id == person)) or "UTC"


def one(session: Session, called: str) -> str:
    """The id of the person whom an operator names, by id, by the identity provider's name for them, or by e-mail address. Raises
    Missing, and BadInput where several are called so."""
    means = or_(Person.id == called, Person.subject == called, func.lower(Person.email) == called.lower())
    found = session.scalars(select(Person.id).where(means).limit(2)).all() if called else []
    if not found:
        raise Missing(said("Nobody who is called %(name)s has signed in here yet.", name=repr(called)))
    if len(found) > 1:
        raise BadInput(said(
            "Several persons are called %(name)s. Name one by their id, which starts with per_.", name=repr(called)
        ))
    return found[0]


def members(session: Session, group: str) -> list[Person]:
    """Who was in the group when they last signed in: whom to tell, not whom to believe."""
    mentioned = cast(Person.groups, Text).contains(json.dumps(group), autoescape=True)
    found = session.scalars(select(Person).where(mentioned).order_by(Person.name))
    return [person for person in found if group in person.groups]
