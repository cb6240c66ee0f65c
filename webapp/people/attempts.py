"""How many factor answers a person may give: counted in the database, so that many processes together allow no more than one."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import case, or_, select, update
from sqlalchemy.orm import Session

from webapp.config import People
from webapp.db.count import changed
from webapp.errors import LimitReached, said
from webapp.people.rules import wait_words
from webapp.people.tables import Person


def spend(session: Session, person: str, settings: People, now: datetime) -> None:
    """Take one of the person's attempts, before the answer is looked at. Raises LimitReached, with when to try again.

    One conditional UPDATE: of two that arrive together at the last attempt, the database lets one through.
    """
    begins = now - timedelta(seconds=settings.attempts_window)
    current = Person.tries_since > begins
    may = or_(Person.tries_since.is_(None), Person.tries_since <= begins, Person.tries < settings.attempts)
    done = session.execute(
        update(Person)
        .where(Person.id == person, may)
        .values(
            tries=case((current, Person.tries + 1), else_=1),
            tries_since=case((current, Person.tries_since), else_=now),
        )
    )
    if changed(done) != 1:
        raise _too_many(session, person, settings, now)


def clear(session: Session, person: str) -> None:
    """A right answer: what went before it no longer counts."""
    session.execute(update(Person).where(Person.id == person).values(tries=0, tries_since=None))


def _too_many(session: Session, person: str, settings: People, now: datetime) -> LimitReached:
    since = session.scalar(select(Person.tries_since).where(Person.id == person)) or now
    left = since + timedelta(seconds=settings.attempts_window) - now
    return LimitReached(said("Too many tries. You can try again %(when)s.", when=wait_words(left)), code="too_many_tries")
