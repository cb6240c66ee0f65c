"""In which language a person or group is told: the one that they chose for pages. Who chose none is told in English: what their
browser asks for is not kept. A test is told as the page is from which it is sent."""

from __future__ import annotations

from functools import lru_cache

from flask import has_request_context
from sqlalchemy import select

from webapp.notices.listening import GROUP
from webapp.people.tables import Person
from webapp.web.catalogue import Tongue
from webapp.web.house import House
from webapp.web.languages import Languages, found, spoken


@lru_cache(maxsize=4)
def offered(narrowed: tuple[str, ...]) -> Languages:
    """What pages are offered in. A worker has no pages, and reads catalogues once."""
    return found(narrowed)


def tongue_of(house: House, whom: str) -> Tongue:
    known = offered(tuple(house.settings.web.languages))
    if whom.startswith(GROUP):
        return known.otherwise.tongue
    with house.database.read() as session:
        chosen = session.scalar(select(Person.language).where(Person.id == whom)) or ""
    if chosen in known.offered:
        return known.offered[chosen].tongue
    return spoken().language.tongue if has_request_context() else known.otherwise.tongue
