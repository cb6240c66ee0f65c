"""Connecting an account: begun on the page, finished when the provider sends the browser back.

An attempt belongs to one browser session and one person: a link that somebody else began finishes nothing here (RFC 9700
section 4.7, CSRF), and each state is good once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from vault.door import Begun, Connected
from vault.errors import Stale
from vault.secret import Secret
from webapp import audit
from webapp.connections import lookup, providers
from webapp.connections.rules import may_ask
from webapp.connections.tables import Attempt, Connection
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import BadInput
from webapp.ids import new_id
from webapp.web.house import House
from webapp.web.viewer import Viewer

TIDY = "connections.tidy"


@dataclass(frozen=True)
class Returned:
    """What the provider's redirect brought: a code, or an error in its place."""

    state: str
    code: str = ""
    error: str = ""
    iss: str | None = None


class Refused(BadInput):
    """The provider, or the person there, did not agree. `provider` and `connection` say where to try again."""

    default = "consent_refused"

    def __init__(self, hint: str, *, code: str, provider: str, again: str) -> None:
        super().__init__(hint, code=code)
        self.provider = provider
        self.again = again


def begin(house: House, viewer: Viewer, *, provider: str, scopes: Sequence[str], connection: str = "") -> str:
    """Where to send the browser. `connection` names the person's own connection to reconnect; else a new one is made.
    Raises BadInput, Missing and the keeper's errors."""
    now = house.clock()
    if connection:
        with house.database.read() as session:
            provider = lookup.own(session, connection, viewer.person).provider
    facts = providers.find(house.settings, provider)
    if not may_ask(facts, scopes):
        raise BadInput("Choose what the account may be used for.")
    path = providers.callback(facts)
    begun = house.door.connect_begin(
        provider=provider, person=viewer.person, redirect_uri=house.settings.public_url + path, scopes=list(scopes)
    )
    attempt = _attempt(begun, viewer, provider, connection or new_id("con"), path, now, house.settings.people.attempt_lifetime)
    house.database.write(lambda s: _keep(s, attempt, scopes, now))
    return begun.url


def _attempt(begun: Begun, viewer: Viewer, provider: str, connection: str, path: str, now: datetime, lifetime: int) -> Attempt:
    return Attempt(
        id=new_id("att"), state=_hashed(begun.state), session=viewer.session, person=viewer.person, provider=provider,
        connection=connection, callback=path, sealed=begun.sealed, created_at=now, expires_at=now + timedelta(seconds=lifetime),
        used_at=None,
    )


def _hashed(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _keep(session: Session, attempt: Attempt, scopes: Sequence[str], now: datetime) -> None:
    session.execute(delete(Attempt).where(Attempt.expires_at < now))
    session.add(attempt)
    audit.append(
        session, kind="connection.begun", actor=f"person:{attempt.person}", subject=attempt.connection,
        detail={"provider": attempt.provider, "scopes": sorted(scopes)}, at=now,
    )


def finish(house: House, viewer: Viewer, returned: Returned, callback: str) -> Connection:
    """The connected account. Raises Stale, Refused, ProviderRefused, ProviderAway.

    1. the attempt is this session's and this person's, came back to the path it was sent out with, and is spent;
    2. the provider agreed; 3. the keeper redeems the code and keeps the tokens; 4. the row and its entry are written.
    If the process dies between 3 and 4, a due row finds the tokens that nobody knows of and has them ended.
    """
    now = house.clock()
    attempt = house.database.write(lambda s: _spend(s, viewer, returned.state, callback, now))  # 1
    if not returned.code:  # 2
        raise _refused(house, attempt, returned.error)
    connected = house.door.connect_finish(  # 3
        connection=attempt.connection, person=viewer.person, sealed=attempt.sealed, state=returned.state,
        code=Secret(returned.code),
        iss=returned.iss,
    )
    return house.database.write(lambda s: _store(s, attempt, connected, house.clock()))  # 4


def _spend(session: Session, viewer: Viewer, state: str, callback: str, now: datetime) -> Attempt:
    mine = (Attempt.state == _hashed(state), Attempt.session == viewer.session, Attempt.person == viewer.person)
    fresh = (Attempt.used_at.is_(None), Attempt.expires_at > now, Attempt.callback == callback)
    done = session.execute(
        update(Attempt).where(*mine, *fresh).values(used_at=now), execution_options={"synchronize_session": False}
    )
    if changed(done) != 1:
        raise Stale(
            "no such attempt",
            hint="This connection was not begun in this browser, took too long, or was finished already. Start again."
        )
    attempt = session.scalars(select(Attempt).where(*mine)).one()
    enqueue(session, TIDY, attempt.connection, now + timedelta(minutes=15), {"person": attempt.person})
    return attempt


REFUSALS = {
    "access_denied": "You did not agree at {title}, or it did not let you. Nothing was connected.",
    "invalid_scope": "{title} does not offer what was asked for. Nothing was connected.",
    "temporarily_unavailable": "{title} is too busy at the moment. Nothing was connected; try again later.",
    "server_error": "{title} had an error of its own. Nothing was connected; try again later.",
}
OTHERWISE = "{title} did not connect the account. An operator may have to look at its settings here."


def _refused(house: House, attempt: Attempt, error: str) -> Refused:
    """In our own words: what came in the address could be anybody's."""
    title = providers.find(house.settings, attempt.provider).title
    hint = REFUSALS.get(error, OTHERWISE).format(title=title)
    code = error if error in REFUSALS else "consent_refused"
    return Refused(hint, code=code, provider=title, again=f"/connections/new?provider={attempt.provider}")


def _store(session: Session, attempt: Attempt, connected: Connected, now: datetime) -> Connection:
    row = session.get(Connection, attempt.connection)
    if row is None:
        row = Connection(
            id=attempt.connection, person=attempt.person, provider=attempt.provider, created_at=now, last_used_at=None,
            ended_at=None
        )
        session.add(row)
    elif row.status == "disconnected" or row.person != attempt.person:
        raise Stale("disconnected meanwhile", hint="This account was disconnected meanwhile. Connect it anew.")
    row.account, row.label, row.scopes = connected.account, connected.label, sorted(connected.scopes)
    row.status, row.reason, row.connected_at = "active", "", now
    audit.append(
        session, kind="connection.connected", actor=f"person:{row.person}", subject=row.id,
        detail={"provider": row.provider, "account": row.account, "scopes": row.scopes}, at=now,
    )
    return row
