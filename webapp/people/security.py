"""What happened to a person's own way in, from the signed log, in words; and what they say was not them.

Texts of others (a browser's name, an agent's name for itself, a reason) are kept apart from ours, so that a page can mark them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.audit.tables import Entry
from webapp.audit.whose import PERSON
from webapp.db.count import changed
from webapp.db.once import insert_once
from webapp.errors import Conflict, Forbidden, Missing, Said, nsaid, said
from webapp.ids import new_id
from webapp.people import lookup, sessions
from webapp.people.rules import browser_said
from webapp.people.tables import Doubt
from webapp.web.viewer import Viewer

PAGE = 50
WHY = "the person said that something was not them"
LONGEST = 200
Detail = Mapping[str, Any]
CONFIRMED = {"passkey": said("Confirmed with a passkey"), "totp": said("Confirmed with an authenticator app")}
ADDED = {"passkey": said("Added a passkey"), "totp": said("Added an authenticator app")}
ENDED = {
    "": said("Signed out"),
    "signed out": said("Signed out"),
    "ended by the person": said("Signed out: ended by the person"),
    "a factor was added": said("Signed out: a factor was added"),
    "a factor was removed": said("Signed out: a factor was removed"),
    "signed in again": said("Signed out: signed in again"),
    "ended at the keeper": said("Signed out: ended at the keeper"),
    "signed out at the identity provider": said("Signed out: signed out at the identity provider"),
    "administrators let them in again": said("Signed out: administrators let them in again"),
    WHY: said("Signed out: the person said that something was not them"),
    "may be compromised": said("Signed out: may be compromised"),
    "the instance was restored from a backup": said("Signed out: the instance was restored from a backup"),
}
"""By why a session was ended, which the log says in English."""


@dataclass(frozen=True)
class Event:
    id: str
    at: datetime
    kind: str
    what: Said
    said: str
    """In somebody else's words, or empty."""
    by: str
    """Whose doing it was, where it was not the person's own."""
    tone: str
    """`warn` for what one should know of."""
    doubtful: bool
    """Whether it makes sense to say that it was not oneself."""


@dataclass(frozen=True)
class Words:
    what: Callable[[Detail], Said]
    said: Callable[[Detail], str] = lambda _detail: ""
    warn: bool = False
    own: bool = True
    """It was done in the person's name: it may not have been them."""


def _always(text: Said) -> Callable[[Detail], Said]:
    return lambda _detail: text


def _factor(known: Mapping[str, Said], otherwise: Said) -> Callable[[Detail], Said]:
    return lambda detail: known.get(str(detail.get("kind")), otherwise)


def _of(name: str) -> Callable[[Detail], str]:
    return lambda detail: str(detail.get(name) or "")[:500]


def _browser(detail: Detail) -> str:
    return browser_said(_text(detail, "browser"))


def _failed(detail: Detail) -> Said:
    recovery = detail.get("kind") == "recovery"
    return said("A wrong recovery code was tried") if recovery else said("The second step did not succeed")


def _used(detail: Detail) -> Said:
    left = detail.get("left")
    if not isinstance(left, int):
        return said("A recovery code was spent; some were left")
    return nsaid("A recovery code was spent; %(num)s was left", "A recovery code was spent; %(num)s were left", left)


def _ended(detail: Detail) -> Said:
    """Why is a phrase of ours."""
    why = str(detail.get("why") or "")[:LONGEST]
    return ENDED.get(why, said("Signed out: %(why)s", why=why))


def _lent(detail: Detail) -> Said:
    return said("Lent the group %(group)s", group=_text(detail, "group"))


def _lent_no_longer(detail: Detail) -> Said:
    return said("No longer lends the group %(group)s", group=_text(detail, "group"))


def _consented(detail: Detail) -> Said:
    provider = _text(detail, "provider")
    if not provider:
        return said("Allowed a server to use an account at a provider")
    return said("Allowed a server to use an account at %(provider)s", provider=provider)


def _connected(detail: Detail) -> Said:
    provider = _text(detail, "provider")
    if not provider:
        return said("Connected an account at a provider")
    return said("Connected an account at %(provider)s", provider=provider)


def _text(detail: Detail, name: str) -> str:
    return str(detail.get(name) or "")[:LONGEST]


WORDS: Mapping[str, Words] = {
    "session.opened": Words(_always(said("Signed in at the identity provider")), _browser),
    "session.ended": Words(_ended, own=False),
    "second_step.done": Words(_factor(CONFIRMED, said("Confirmed with a second step")), _of("name")),
    "second_step.failed": Words(_failed, warn=True),
    "factor.added": Words(_factor(ADDED, said("Added a second step")), _of("name"), warn=True),
    "factor.removed": Words(_always(said("Removed a second step")), warn=True),
    "recovery.made": Words(_always(said("Made new recovery codes; those of before are void")), warn=True),
    "recovery.used": Words(_used, warn=True),
    "sign_in.logged_out": Words(_always(said("Signed out at the identity provider")), own=False),
    "delegation.made": Words(_lent, warn=True),
    "delegation.ended": Words(_lent_no_longer, own=False),
    "oauth.consented": Words(_always(said("Allowed an agent to call a server’s tools; it calls itself")), _of("client_name")),
    "oauth.revoked": Words(_always(said("An agent’s access ended")), own=False),
    "consent.given": Words(_consented),
    "consent.withdrawn": Words(_always(said("A server may no longer use an account")), own=False),
    "connection.connected": Words(_connected),
    "connection.disconnected": Words(_always(said("Disconnected an account")), own=False),
    "readmission.started": Words(_always(said("Asked that you set up a new second step")), _of("reason"), warn=True, own=False),
    "readmission.agreed": Words(_always(said("Agreed that you set up a new second step")), warn=True, own=False),
    "readmission.found": Words(_always(said("It was asked before that you set up a new second step")), warn=True, own=False),
    "readmission.by_operator": Words(
        _always(said("Let you set up a new second step, alone")), _of("reason"), warn=True, own=False
    ),
    "readmission.used": Words(_always(said("Came back after losing every device, to set up a new second step")), warn=True),
    "readmission.ended": Words(_always(said("It was stopped that you set up a new second step")), own=False),
    "incident.opened": Words(_always(said("Everything in your name was stopped")), _of("reason"), warn=True, own=False),
    "incident.lifted": Words(_always(said("Your access was resumed")), own=False),
    "person.linked": Words(_always(said("Another sign-in of yours was linked to this one")), own=False),
    "person.unlinked": Words(_always(said("A linked sign-in of yours was parted from this one")), own=False),
    "person.not_me": Words(_always(said("You said that something was not you")), own=False),
}
"""By kind. What is not here is not shown: `tests` say that each kind of `audit.whose` is."""


def events(session: Session, person: str, before: str = "", limit: int = PAGE) -> list[Event]:
    """The newest first, before an entry's id."""
    asked = select(Entry).where(Entry.about == person, Entry.kind.in_(WORDS)).order_by(Entry.id.desc()).limit(limit)
    found = session.scalars(asked.where(Entry.id < before) if before else asked).all()
    return _events(session, person, found)


def one(session: Session, person: str, entry: str) -> Event:
    """One of this person's own. Raises Missing."""
    found = session.get(Entry, entry)
    if found is None or found.about != person or found.kind not in WORDS:
        raise Missing("There is no such thing in your security log.")
    return _events(session, person, [found])[0]


def _events(session: Session, person: str, found: Sequence[Entry]) -> list[Event]:
    names = lookup.names(session, {entry.actor.removeprefix(PERSON) for entry in found if entry.actor.startswith(PERSON)})
    return [_event(entry, person, names) for entry in found]


def _event(entry: Entry, person: str, names: Mapping[str, str]) -> Event:
    words, detail = WORDS[entry.kind], json.loads(entry.body)["detail"]
    who = entry.actor.removeprefix(PERSON)
    by = {"system": "", "cli": said("an operator")}.get(who, names.get(who, "")) if who != person else ""
    return Event(
        entry.id, entry.at, entry.kind, words.what(detail), words.said(detail), by, "warn" if words.warn else "",
        words.own and who == person,
    )


# -- this was not me ---------------------------------------------------------------------------------------------------


def not_me(session: Session, viewer: Viewer, entry: str, now: datetime) -> None:
    """All that they are signed in to ends, here and at the keeper, and administrators are told. Twice is once. Raises Missing."""
    event, actor = one(session, viewer.person, entry), f"{PERSON}{viewer.person}"
    if not event.doubtful:
        raise Missing("That was not done in your name.")
    if insert_once(session, Doubt, id=new_id("dbt"), person=viewer.person, entry=entry, kind=event.kind, made_at=now):
        audit.append(session, kind="person.not_me", actor=actor, subject=entry, detail={"kind": event.kind}, at=now)
    sessions.end_all(session, person=viewer.person, why=WHY, actor=actor, now=now)


def doubts(session: Session) -> list[tuple[Doubt, str, Said]]:
    """For administrators: what nobody has looked into yet, whose it is, and what it was, the newest first."""
    found = session.scalars(select(Doubt).where(Doubt.settled_at.is_(None)).order_by(Doubt.id.desc()).limit(PAGE)).all()
    names = lookup.names(session, {row.person for row in found})
    return [(row, names[row.person], WORDS[row.kind].what({})) for row in found]


def settle(session: Session, viewer: Viewer, doubt: str, now: datetime) -> None:
    """An administrator has looked into it. Raises Missing, Conflict, and Forbidden for whoever said it."""
    row = session.get(Doubt, doubt)
    if row is None:
        raise Missing("There is no such thing here.")
    if row.person in viewer.selves:
        raise Forbidden("You said it yourself: another administrator looks into it.")
    done = session.execute(update(Doubt).where(Doubt.id == doubt, Doubt.settled_at.is_(None)).values(
        settled_at=now, settled_by=viewer.person
    ))
    if changed(done) != 1:
        raise Conflict("Somebody has looked into it already.")
    audit.append(session, kind="person.doubt_settled", actor=f"{PERSON}{viewer.person}", subject=row.person, at=now,
                 detail={"entry": row.entry, "kind": row.kind})
