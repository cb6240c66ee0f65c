"""Signing in at the identity provider: OpenID Connect, code flow with PKCE. The keeper redeems the code and checks the ID token.

An attempt is good once, for ten minutes, and only in the browser that began it: else a link with the attacker's own code
and state would sign somebody in as the attacker (login CSRF, RFC 6749 section 10.12).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Response, after_this_request
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session as DbSession

from vault.door import SignedIn
from vault.secret import Secret
from webapp import audit
from webapp.db.count import changed
from webapp.db.once import insert_once
from webapp.errors import BadInput, Forbidden
from webapp.ids import new_id
from webapp.people import backchannel, cookies, sessions
from webapp.people.rules import fingerprint, own_path
from webapp.people.suspension import KEPT_OUT
from webapp.people.tables import Person, SignIn
from webapp.web.house import House

CALLBACK = "/sign-in/callback"
KEPT = timedelta(days=1)
"""How long after its end an attempt or a session is kept, for whoever wonders what became of it."""

STALE = (
    "This sign-in took too long, was used already, or was begun in another browser. "
    "Nothing happened: you can simply start again."
)


@dataclass(frozen=True)
class Started:
    """Where to send the browser, and the secret that it keeps until it is back."""

    url: str
    browser: Secret[str]


@dataclass(frozen=True)
class Came:
    """What the identity provider sent back with the browser, and which browser it is."""

    state: str
    code: Secret[str]
    iss: str | None
    browser: Secret[str]
    old_session: Secret[str]
    agent: str
    """`Firefox on Linux`."""


def start(house: House, *, next_url: str | None, login_hint: str = "") -> Started:
    """Begin one attempt. Raises KeeperError when the keeper, the vault or the identity provider does not answer."""
    settings, now = house.settings, house.clock()
    begun = house.door.sign_in_begin(
        idp=settings.people.idp, redirect_uri=settings.public_url + CALLBACK, login_hint=login_hint
    )
    browser = sessions.new_cookie()
    row = SignIn(
        id=new_id("sgn"), state=fingerprint(begun.state), browser=fingerprint(browser.reveal()), sealed=begun.sealed,
        next_url=own_path(next_url), created_at=now, expires_at=now + timedelta(seconds=settings.people.attempt_lifetime),
    )

    def write(db: DbSession) -> None:
        db.execute(delete(SignIn).where(SignIn.expires_at < now - KEPT))
        db.add(row)

    house.database.write(write)
    return Started(begun.url, browser)


def begin(house: House, *, next_url: str | None, login_hint: str = "") -> str:
    """Begin one attempt and bind it to the browser that this request answers; the URL to send that browser to.

    A page that got here by a form shows `people/onward.html` rather than redirect: `form-action` stops redirects after a form."""
    started = start(house, next_url=next_url, login_hint=login_hint)

    @after_this_request
    def bind(response: Response) -> Response:
        cookies.give_attempt(response, house.settings, started.browser)
        return response

    return started.url


def finish(house: House, came: Came) -> tuple[Secret[str], str]:
    """Sign the person in; the new session's cookie, and where the person wanted to go.

    Raises BadInput for an attempt that is over or another browser's, Forbidden for somebody who is suspended, and KeeperError
    when the keeper refuses: then no session exists."""
    attempt = _spend(house, came)
    cookie = sessions.new_cookie()
    signed_in = house.door.sign_in_finish(
        sealed=attempt.sealed, state=came.state, code=came.code, iss=came.iss, session=cookie
    )
    house.database.write(lambda db: _open(db, house, came, signed_in, cookie))
    return cookie, attempt.next_url


def refused(house: House, came: Came, error: str) -> None:
    """The identity provider answered with an error: the attempt is over, and the log says so."""
    _spend(house, came)
    note_failure(house, error)


def note_failure(house: House, code: str) -> None:
    """Record that a sign-in came to nothing. `code` is bounded: it may be what a stranger wrote into a URL."""
    now = house.clock()
    house.database.write(lambda db: audit.append(
        db, kind="sign_in.failed", actor="system", subject="sign_in", detail={"code": code[:60]}, at=now
    ))


def _spend(house: House, came: Came) -> SignIn:
    """The attempt of this state in this browser, spent. Of two that come at once, one finds it."""
    now, state = house.clock(), fingerprint(came.state)

    def use(db: DbSession) -> SignIn | None:
        done = db.execute(
            update(SignIn)
            .where(
                SignIn.state == state, SignIn.browser == fingerprint(came.browser.reveal()), SignIn.spent_at.is_(None),
                SignIn.expires_at > now,
            )
            .values(spent_at=now)
        )
        return db.scalar(select(SignIn).where(SignIn.state == state)) if changed(done) == 1 else None

    attempt = house.database.write(use)
    if attempt is None:
        raise BadInput(STALE, code="sign_in_over")
    return attempt


def _open(db: DbSession, house: House, came: Came, signed_in: SignedIn, cookie: Secret[str]) -> None:
    now = house.clock()
    _remember(db, signed_in, now)
    sessions.forget(db, now - KEPT)
    sessions.end_by_cookie(db, came.old_session, "signed in again", now)
    audit.append(
        db, kind="sign_in.done", actor=f"person:{signed_in.person}", subject=signed_in.person,
        detail={"issuer": signed_in.issuer, "groups": sorted(signed_in.groups)}, at=now,
    )
    sessions.open_(
        db, cookie=cookie, person=signed_in.person, ticket=signed_in.ticket, browser=came.agent,
        settings=house.settings.people, now=now, sid=backchannel.sid(signed_in.issuer, signed_in.claims.get("sid")),
    )


def _remember(db: DbSession, signed_in: SignedIn, now: datetime) -> None:
    insert_once(
        db, Person, id=signed_in.person, issuer=signed_in.issuer, subject=signed_in.subject, created_at=now,
        name="", email="", groups=[], seen_at=now,
    )
    person = db.get_one(Person, signed_in.person, with_for_update=True)
    person.name = signed_in.name or signed_in.email or signed_in.subject
    person.email, person.groups, person.seen_at = signed_in.email, sorted(signed_in.groups), now
    person.step_up = signed_in.step_up
    db.flush()
    if person.suspended:
        raise Forbidden(KEPT_OUT, code="suspended")
