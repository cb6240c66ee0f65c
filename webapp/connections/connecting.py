"""Connecting an account: begun on the page, finished when the provider sends the browser back.

An attempt belongs to one browser session and one person: a link that somebody else began finishes nothing here (RFC 9700
section 4.7, CSRF), and each state is good once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from vault.door import Begun, Connected
from vault.errors import KeeperError, Stale
from vault.providers.catalogue import UNREADABLE
from vault.secret import Secret
from webapp import audit
from webapp.connections import lookup, providers, states, suspension
from webapp.connections.rules import may_ask, missing
from webapp.connections.tables import Attempt, Connection
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import HTTP, BadInput, Conflict, Unavailable, look_up, said
from webapp.ids import new_id
from webapp.web.house import House
from webapp.web.viewer import Viewer

TIDY = "connections.tidy"
LEASES = "broker.clean"
"""The due row, one for all, that forgets leases after their time. Whoever connects an account brings it: without accounts there
are none."""
STALE = "This connection was not begun in this browser, took too long, or was finished already. Start again."


@dataclass(frozen=True)
class Returned:
    """What the provider's redirect brought: a code, or an error in its place."""

    state: str
    code: str = ""
    error: str = ""
    iss: str | None = None


class Refused(BadInput):
    """Nothing was connected. `provider` is the title of whoever was asked, where that is known, `again` a path on which to try
    once more, `status` what HTTP calls it."""

    default = "consent_refused"

    def __init__(self, hint: str, *, code: str, provider: str, again: str, status: int = 400) -> None:
        super().__init__(hint, code=code)
        self.provider = provider
        self.again = again
        self.status = status


def begin(
    house: House, viewer: Viewer, *, provider: str, scopes: Sequence[str], connection: str = "", add: Sequence[str] = ()
) -> str:
    """Where to send the browser. `connection` names the person's own connection to reconnect; else a new one is made. With `add`
    that connection keeps all it was granted and is asked for these besides. Raises BadInput, Missing and the keeper's errors."""
    now = house.clock()
    if connection:
        with house.database.read() as session:
            row = lookup.own(session, connection, viewer.person)
        provider = row.provider
        scopes = sorted({*row.scopes, *add} - {UNREADABLE}) if add else scopes
    facts = providers.find(house.settings, provider)
    with house.database.read() as session:
        suspension.refuse(session, viewer.person, provider)
    if not may_ask(facts, add or scopes):
        raise BadInput("Choose what the account may be used for.")
    path = providers.callback(facts)
    begun = house.door.connect_begin(
        provider=provider, person=viewer.person, redirect_uri=house.settings.public_url + path, scopes=list(scopes),
        pick=not connection,
    )
    attempt = _attempt(begun, viewer, provider, connection or new_id("con"), path, now, house.settings.people.attempt_lifetime)
    attempt.scopes = sorted(scopes)
    house.database.write(lambda s: _keep(s, attempt, now))
    return begun.url


def _attempt(begun: Begun, viewer: Viewer, provider: str, connection: str, path: str, now: datetime, lifetime: int) -> Attempt:
    return Attempt(
        id=new_id("att"), state=_hashed(begun.state), session=viewer.session, person=viewer.person, provider=provider,
        connection=connection, callback=path, sealed=begun.sealed, created_at=now, expires_at=now + timedelta(seconds=lifetime),
        used_at=None, scopes=[],
    )


def _hashed(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _keep(session: Session, attempt: Attempt, now: datetime) -> None:
    session.execute(delete(Attempt).where(Attempt.expires_at < now))
    session.add(attempt)
    audit.append(
        session, kind="connection.begun", actor=f"person:{attempt.person}", subject=attempt.connection,
        detail={"provider": attempt.provider, "scopes": attempt.scopes}, at=now,
    )


@dataclass(frozen=True)
class Finished:
    """`connection` as it is now; `again`: it was connected before. `less` is what was asked for and not granted."""

    connection: Connection
    again: bool
    less: tuple[str, ...]


def finish(house: House, viewer: Viewer, returned: Returned, callback: str) -> Finished:
    """The connected account. Raises Stale, and Refused for all that failed after the state was spent: it says where to try again.

    1. the attempt is this session's and this person's, came back to the path it was sent out with, and is spent;
    2. the provider agreed; 3. the keeper redeems the code and keeps the tokens; 4. the row and its entry are written.
    If the process dies between 3 and 4, a due row finds the tokens that nobody knows of and has them ended.
    """
    now = house.clock()
    attempt, known = house.database.write(lambda s: _spend(s, viewer, returned.state, callback, now))  # 1
    if not returned.code:  # 2
        raise _refused(house, attempt, returned.error)
    try:
        connected = house.door.connect_finish(  # 3
            connection=attempt.connection, person=viewer.person, sealed=attempt.sealed, state=returned.state,
            code=Secret(returned.code), iss=returned.iss, known=known,
        )
        return house.database.write(lambda s: _store(s, house, attempt, connected))  # 4
    except (KeeperError, Unavailable) as error:
        raise _failed(house, attempt, error) from error
    except Conflict:
        house.database.write(lambda s: states.tell_again(s, connected.connection, house.clock()))
        raise


def _spend(session: Session, viewer: Viewer, state: str, callback: str, now: datetime) -> tuple[Attempt, list[str]]:
    mine = (Attempt.state == _hashed(state), Attempt.session == viewer.session, Attempt.person == viewer.person)
    fresh = (Attempt.used_at.is_(None), Attempt.expires_at > now, Attempt.callback == callback)
    done = session.execute(
        update(Attempt).where(*mine, *fresh).values(used_at=now), execution_options={"synchronize_session": False}
    )
    attempt = session.scalars(select(Attempt).where(*mine)).one_or_none()
    if changed(done) != 1 or attempt is None:
        again = address(attempt.provider, attempt.connection, attempt.scopes, session) if attempt else "/connections"
        raise Refused(STALE, code="stale", provider="", again=again)
    suspension.refuse(session, attempt.person, attempt.provider)
    begun(session, attempt.connection, attempt.person, now)
    return attempt, [row.id for row in lookup.at_provider(session, viewer.person, attempt.provider)]


def begun(session: Session, connection: str, person: str, now: datetime) -> None:
    """What has to be looked at later, whatever becomes of this."""
    enqueue(session, TIDY, connection, now + timedelta(minutes=15), {"person": person})
    enqueue(session, LEASES, "all", now + timedelta(hours=1))


def address(provider: str, connection: str, scopes: Sequence[str], session: Session | None = None) -> str:
    """The page on which the same can be asked for again: nothing is lost but a click."""
    known = session is not None and session.get(Connection, connection) is not None
    wanted = [("connection", connection)] if known else [("provider", provider)]
    return f"/connections/new?{urlencode([*wanted, *(('scope', scope) for scope in scopes)])}"


def _failed(house: House, attempt: Attempt, error: KeeperError | Unavailable) -> Refused:
    """The state is spent, and perhaps the code: a new attempt is the only honest way on."""
    title = providers.find(house.settings, attempt.provider).title
    try:
        with house.database.read() as session:
            again = address(attempt.provider, attempt.connection, attempt.scopes, session)
    except Unavailable:
        again = address(attempt.provider, attempt.connection, attempt.scopes)
    return Refused(error.hint, code=error.code, provider=title, again=again, status=look_up(HTTP, error, 400))


def refusal(error: str, title: str) -> str:
    """What a provider's error code means, in our own words."""
    match error:
        case "access_denied":
            return said("You did not agree at %(title)s, or it did not let you. Nothing was connected.", title=title)
        case "invalid_scope":
            return said("%(title)s does not offer what was asked for. Nothing was connected.", title=title)
        case "temporarily_unavailable":
            return said("%(title)s is too busy at the moment. Nothing was connected; try again later.", title=title)
        case "server_error":
            return said("%(title)s had an error of its own. Nothing was connected; try again later.", title=title)
    return said("%(title)s did not connect the account. An operator may have to look at its settings here.", title=title)


KNOWN = frozenset({"access_denied", "invalid_scope", "temporarily_unavailable", "server_error"})


def _refused(house: House, attempt: Attempt, error: str) -> Refused:
    """In our own words: what came in the address could be anybody's."""
    title = providers.find(house.settings, attempt.provider).title
    hint = refusal(error, title)
    code = error if error in KNOWN else "consent_refused"
    with house.database.read() as session:
        again = address(attempt.provider, attempt.connection, attempt.scopes, session)
    return Refused(hint, code=code, provider=title, again=again)


def _store(session: Session, house: House, attempt: Attempt, connected: Connected) -> Finished:
    now = house.clock()
    lookup.alone(session, attempt.person)
    suspension.refuse(session, attempt.person, attempt.provider)
    row = session.get(Connection, connected.connection)
    before = set(row.scopes) if row is not None else None
    if row is None:
        row = _new(session, attempt, connected, now)
    elif row.status == "disconnected" or row.person != attempt.person:
        raise Stale("disconnected meanwhile", hint="This account was disconnected meanwhile. Connect it anew.")
    row.account, row.label, row.scopes = connected.account, connected.label, sorted(connected.scopes)
    row.status, row.reason, row.connected_at, row.status_at = "active", "", now, now
    if before is not None:
        # What was handed out under a wider consent ends at once; else calls under way may end by themselves first.
        at = now if before - set(row.scopes) else now + timedelta(seconds=house.settings.broker.cap)
        states.end_tokens(session, row.id, at, now, providers.find(house.settings, row.provider))
    session.flush()
    states.told(session, row.id)
    audit.append(
        session, kind="connection.connected", actor=f"person:{row.person}", subject=row.id,
        detail={"provider": row.provider, "account": row.account, "scopes": row.scopes, "again": before is not None}, at=now,
    )
    return Finished(row, before is not None, missing(row.scopes, attempt.scopes))


def _new(session: Session, attempt: Attempt, connected: Connected, now: datetime) -> Connection:
    """The first account at a provider is the default one; a later one never takes its place by itself."""
    others = lookup.at_provider(session, attempt.person, attempt.provider)
    if any(other.account == connected.account for other in others):
        raise Stale("connected meanwhile", hint="This account was connected in another window at the same moment.")
    row = Connection(
        id=connected.connection, person=attempt.person, provider=attempt.provider, created_at=now, last_used_at=None,
        ended_at=None, preferred=not any(other.preferred for other in others),
    )
    session.add(row)
    return row
