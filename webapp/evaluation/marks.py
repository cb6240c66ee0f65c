"""An evaluation instance is one for ever, and so is a real one. Checked at each start, before anything is served."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.config import Settings
from webapp.errors import Unavailable
from webapp.evaluation.tables import ONLY, Mark
from webapp.people.tables import Person
from webapp.web.house import House

WRONG = "wrong_composition"


def check_settings(settings: Settings) -> None:
    """An evaluation instance is on plain http on localhost and believes no proxy. Raises Unavailable."""
    if not settings.evaluation:
        return
    if settings.host != "localhost" or settings.secure:
        raise Unavailable(f"An evaluation instance is at http://localhost alone, not at {settings.public_url}.", code="not_local")
    if settings.web.trusted_proxies:
        raise Unavailable("An evaluation instance stands behind no proxy: remove trusted_proxies.", code="not_local")


def settle(session: Session, *, evaluation: bool, now: datetime) -> None:
    """Mark a new database, or compare. Raises Unavailable when the database is of the other kind."""
    marked = session.get(Mark, ONLY) is not None
    if marked == evaluation:
        return
    if marked:
        raise Unavailable("This database belongs to an evaluation instance, which never becomes a real one.", code=WRONG)
    if session.scalar(select(Person.id).limit(1)) is not None:
        raise Unavailable("People have signed in here for real: this never becomes an evaluation instance.", code=WRONG)
    session.add(Mark(id=ONLY, made_at=now))
    audit.append(session, kind="evaluation.marked", actor="evaluation", subject="instance", detail={}, at=now)


def start(house: House) -> None:
    """Both checks. Raises Unavailable."""
    check_settings(house.settings)
    house.database.write(lambda s: settle(s, evaluation=house.settings.evaluation, now=house.clock()))
