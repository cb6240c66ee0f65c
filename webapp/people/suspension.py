"""A person who is kept out because somebody may be acting in their place."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.db.count import changed
from webapp.errors import Conflict, Forbidden
from webapp.people.tables import Person

KEPT_OUT = "Your access is suspended, because something of yours may be compromised. An administrator can lift that."


def suspend(session: Session, person: str, incident: str) -> None:
    """From the next request on. Who signs in at this moment waits for this, or is seen by what comes after it. Raises Conflict
    when they are suspended already."""
    done = session.execute(update(Person).where(Person.id == person, Person.suspended == "").values(suspended=incident))
    if changed(done) != 1:
        raise Conflict("This person is suspended already.")


def lift(session: Session, person: str, incident: str) -> None:
    session.execute(update(Person).where(Person.id == person, Person.suspended == incident).values(suspended=""))


def refuse(session: Session, person: str) -> None:
    """Before something that outlives this session is given in their name: who suspends them at this moment waits for it, and ends
    it with the rest, or is seen here. Raises Forbidden."""
    if session.scalar(select(Person.suspended).where(Person.id == person).with_for_update(read=True)):
        raise Forbidden(KEPT_OUT, code="suspended")


def among(session: Session, persons: Iterable[str]) -> set[str]:
    """Those of them who are suspended now."""
    return set(session.scalars(select(Person.id).where(Person.id.in_(set(persons)), Person.suspended != "")))
