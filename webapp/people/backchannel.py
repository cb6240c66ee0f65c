"""Somebody signed out at the identity provider, and it says so: OpenID Connect Back-Channel Logout 1.0. The keeper verifies the
logout token; here it is taken once, and the sessions that it names end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session as DbSession

from vault.door import LoggedOut
from vault.secret import Secret
from webapp import audit
from webapp.db.once import insert_once
from webapp.errors import Conflict
from webapp.people import sessions
from webapp.people.rules import fingerprint
from webapp.people.tables import LogoutToken, Person, Session
from webapp.web.house import House

LOGOUT = "/sign-in/backchannel-logout"
WHY = "signed out at the identity provider"


def sid(issuer: str, named: Any) -> str:
    """What is kept of the provider's name for a session (the claim `sid`): it is only ever compared."""
    return fingerprint(f"{issuer}\n{named}") if isinstance(named, str) and named else ""


def log_out(house: House, token: Secret[str]) -> int:
    """How many sessions ended. Raises ProviderRefused for a token that does not verify, Conflict for one that was taken before,
    KeeperError where the keeper or the provider's keys are away: then nothing was done, and the provider may ask again."""
    said = house.door.logout_token(idp=house.settings.people.idp, token=token)
    return house.database.write(lambda db: take(db, said, house.clock()))


def take(db: DbSession, said: LoggedOut, now: datetime) -> int:
    """In one transaction with what it ends: a token whose sessions could not be ended is not spent."""
    db.execute(delete(LogoutToken).where(LogoutToken.until < now))
    if not insert_once(db, LogoutToken, id=fingerprint(f"{said.issuer}\n{said.jti}"), until=said.until):
        raise Conflict("This logout token was taken already.", code="taken")
    actor = "system"
    if said.sid:
        ended = sessions.end_where(db, *_named(said), why=WHY, actor=actor, now=now)
    else:
        ended = sessions.end_all(db, person=said.person, why=WHY, actor=actor, now=now)
    audit.append(db, kind="sign_in.logged_out", actor=actor, subject=said.person or "sign_in", at=now,
                 detail={"issuer": said.issuer, "sessions": ended})
    return ended


def _named(said: LoggedOut) -> tuple[ColumnElement[bool], ...]:
    """The session of that name. Of a person who is named too, also those that the provider never named: it is one of them."""
    name = sid(said.issuer, said.sid)
    if said.person:
        return (Session.person == said.person, Session.sid.in_([name, ""]))
    return (Session.sid == name, Session.person.in_(select(Person.id).where(Person.issuer == said.issuer)))
