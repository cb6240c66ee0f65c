"""The other sign-ins of a person whom an incident is about: whoever has one of them may have all.

Which ones they are is said by rows (`people.linking`), and that is enough here: what a row names can be suspended with it, and
may not end the incident. Nothing is lifted by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import Settings
from webapp.errors import BadInput
from webapp.incidents import opening
from webapp.incidents.rules import Target
from webapp.people import linking
from webapp.people.tables import Person


@dataclass(frozen=True)
class Linked:
    """One of them; `suspended`: the incident by which it is, or empty."""

    id: str
    name: str
    email: str
    suspended: str

    @property
    def target(self) -> Target:
        return Target("person", self.id, self.name or self.email, self.id)


def of(session: Session, kind: str, person: str) -> tuple[Linked, ...]:
    """None where it is about no person."""
    if kind != "person":
        return ()
    others = linking.others(session, [person]).get(person, ())
    rows = session.execute(
        select(Person.id, Person.name, Person.email, Person.suspended).where(Person.id.in_(others)).order_by(Person.id)
    )
    return tuple(Linked(*row) for row in rows)


def open_with(
    session: Session, settings: Settings, target: Target, also: Sequence[str], *, reason: str, actor: str, now: datetime
) -> str:
    """Suspend these other sign-ins too, each by an incident of its own, in one transaction; the id of the one about `target`.
    Raises BadInput for one that is not linked, and as `opening.open_` does. One that is suspended already stays so, by what
    suspended it."""
    opening.one_at_a_time(session)
    known = {one.id: one for one in of(session, target.kind, target.id)}
    if not set(also) <= known.keys():
        raise BadInput("That is not another sign-in of the same person.")
    made = opening.open_(session, settings, target, reason=reason, actor=actor, now=now)
    for one in sorted(set(also)):
        if not known[one].suspended:
            opening.open_(session, settings, known[one].target, reason=reason, actor=actor, now=now)
    return made
