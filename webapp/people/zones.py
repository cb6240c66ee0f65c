"""The time zone a person wants times in."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from zoneinfo import available_timezones

from sqlalchemy import update
from sqlalchemy.orm import Session as DbSession

from webapp import audit
from webapp.errors import BadInput
from webapp.people.tables import Person

NOT_PLACES = ("Etc/", "SystemV/", "US/", "posix/", "right/")


@cache
def every() -> tuple[str, ...]:
    """`UTC`, then every zone that is named for a place (`Europe/Berlin`), in order."""
    places = {zone for zone in available_timezones() if "/" in zone and not zone.startswith(NOT_PLACES)}
    return ("UTC", *sorted(places))


def words(zone: str) -> str:
    """`Europe/Berlin` as people write it."""
    return zone.replace("_", " ")


def choose(db: DbSession, *, person: str, zone: str, now: datetime) -> None:
    """Raises BadInput for a zone that is not on the list."""
    if zone not in every():
        raise BadInput("There is no such time zone.")
    db.execute(update(Person).where(Person.id == person).values(zone=zone))
    audit.append(db, kind="person.zone", actor=f"person:{person}", subject=person, detail={"zone": zone}, at=now)
