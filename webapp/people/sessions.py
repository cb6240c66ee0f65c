"""Sessions: opened at sign-in, found by their cookie, ended by the person, by time, by a change of factors, or by the identity
provider. Each end is told to the keeper too, by a due row of the same transaction: from then on it signs nothing for the ticket
of that session, whoever has it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, select, update
from sqlalchemy.orm import Session as DbSession

from vault.secret import Secret
from webapp import audit
from webapp.config import People
from webapp.db.count import changed
from webapp.db.direct import Made, Where, direct
from webapp.db.due import enqueue, enqueue_all
from webapp.errors import Conflict, Missing
from webapp.ids import new_id
from webapp.people.rules import alive, fingerprint
from webapp.people.tables import Person, Session

COOKIE_BYTES = 32
AT_ONCE = 500
TELL = "people.session_ended"
"""Due row, by session: the keeper is told that it was ended."""
TELL_ALL = "people.signed_out"
"""Due row, by person: the keeper is told that all they had signed in to is over."""


@dataclass(frozen=True)
class Found:
    """A session that still counts, and what the person chose for themselves."""

    id: str
    person: str
    ticket: str
    seen_at: datetime
    zone: str
    locale: str
    language: str = ""
    lent_until: datetime | None = None
    same_as: tuple[str, ...] = ()


def new_cookie() -> Secret[str]:
    """256 random bits. Only the browser keeps it; the database has its hash."""
    return Secret(secrets.token_urlsafe(COOKIE_BYTES))


def open_(
    db: DbSession, *, cookie: Secret[str], person: str, ticket: str, browser: str, settings: People, now: datetime, sid: str = ""
) -> str:
    """Write a new session and its audit entry; its id."""
    row = Session(
        id=new_id("ses"), cookie=fingerprint(cookie.reveal()), person=person, ticket=ticket, browser=browser, sid=sid,
        created_at=now, seen_at=now, idle_until=now + timedelta(seconds=settings.idle),
        expires_at=now + timedelta(seconds=settings.absolute),
    )
    db.add(row)
    audit.append(db, kind="session.opened", actor=f"person:{person}", subject=row.id, detail={"browser": browser}, at=now)
    return row.id


BY_COOKIE = Made(
    select(
        Session.idle_until, Session.expires_at, Session.ended_at, Person.suspended, Person.same_as,
        Session.id, Session.person, Session.ticket, Session.seen_at, Person.zone, Person.locale, Person.language,
        Person.lent_until,
    ).join(Person, Person.id == Session.person).where(Session.cookie == bindparam("cookie"))
)
"""Each request asks it."""


def find(db: Where, cookie: Secret[str], now: datetime) -> Found | None:
    """The session of this cookie, if it still counts. One indexed read."""
    row = direct(db).row(BY_COOKIE, {"cookie": fingerprint(cookie.reveal())})
    if row is None:
        return None
    idle_until, expires_at, ended_at, suspended, same_as, own, person, ticket, seen_at, zone, locale, language, lent_until = row
    if suspended or not alive(idle_until=idle_until, expires_at=expires_at, ended_at=ended_at, now=now):
        return None
    return Found(own, person, ticket, seen_at, zone, locale, language, lent_until, tuple(same_as))


TIMES = Made(select(Session.idle_until, Session.expires_at, Session.ended_at).where(Session.id == bindparam("session")))
"""Made once: each open page asks it at each change."""


def counts(db: Where, session: str, now: datetime) -> bool:
    """Whether this session, by its id, still counts: for what goes on after its request was let in."""
    row = direct(db).row(TIMES, {"session": session})
    return row is not None and alive(idle_until=row[0], expires_at=row[1], ended_at=row[2], now=now)


def touch(db: DbSession, session: str, settings: People, now: datetime) -> None:
    """Note that it was used; an ended session stays ended."""
    db.execute(
        update(Session).where(Session.id == session, Session.ended_at.is_(None), Session.seen_at < now)
        .values(seen_at=now, idle_until=now + timedelta(seconds=settings.idle))
    )


def replace_ticket(db: DbSession, session: str, ticket: str) -> None:
    """The keeper's newer ticket, which records a factor. Raises Conflict if the session was ended meanwhile."""
    done = db.execute(update(Session).where(Session.id == session, Session.ended_at.is_(None)).values(ticket=ticket))
    if changed(done) != 1:
        raise Conflict("This session was ended. Sign in again.", code="session_ended")


def end(db: DbSession, *, session: str, person: str, why: str, now: datetime) -> None:
    """End one session of this person. Raises Missing when they have no such session open."""
    done = db.execute(
        update(Session).where(Session.id == session, Session.person == person, Session.ended_at.is_(None))
        .values(ended_at=now, ended_why=why)
    )
    if changed(done) != 1:
        raise Missing("That session is over already.")
    _ended(db, session, person, why, now)
    _tell(db, [session], now)


def end_by_cookie(db: DbSession, cookie: Secret[str], why: str, now: datetime) -> None:
    """End whatever session this browser had before it signed in anew."""
    row = db.execute(
        select(Session.id, Session.person).where(Session.cookie == fingerprint(cookie.reveal()), Session.ended_at.is_(None))
    ).one_or_none()
    if row is not None:
        end(db, session=row.id, person=row.person, why=why, now=now)


def end_others(db: DbSession, *, person: str, keep: str, why: str, now: datetime) -> int:
    """End all of the person's sessions but one; how many that were."""
    found = list(db.scalars(
        select(Session.id).where(Session.person == person, Session.id != keep, Session.ended_at.is_(None)).with_for_update()
    ))
    db.execute(update(Session).where(Session.id.in_(found)).values(ended_at=now, ended_why=why))
    for session in found:
        _ended(db, session, person, why, now)
    _tell(db, found, now)
    return len(found)


def end_all(db: DbSession, *, person: str, why: str, actor: str, now: datetime) -> int:
    """End every session of somebody's, and at the keeper everything that they signed in to until then, whether it is known here
    or not; how many are known."""
    enqueue(db, TELL_ALL, person, now)
    return end_where(db, Session.person == person, why=why, actor=actor, now=now, tell=False)


def end_where(db: DbSession, *which: ColumnElement[bool], why: str, actor: str, now: datetime, tell: bool = True) -> int:
    """End these sessions, by another's word; how many that were."""
    rows = db.execute(
        update(Session).where(*which, Session.ended_at.is_(None)).values(ended_at=now, ended_why=why)
        .returning(Session.id, Session.person), execution_options={"synchronize_session": False},
    )
    ended = sorted((row.id, row.person) for row in rows)
    for session, person in ended:
        audit.append(db, kind="session.ended", actor=actor, subject=session, detail={"why": why, "person": person}, at=now)
    if tell:
        _tell(db, [session for session, _person in ended], now)
    return len(ended)


def end_every(db: DbSession, why: str, now: datetime) -> int:
    """End every session there is; how many that were. After a restore: the keeper knows that all tickets are of before."""
    found = db.execute(select(Session.id, Session.person).where(Session.ended_at.is_(None))).all()
    db.execute(update(Session).where(Session.ended_at.is_(None)).values(ended_at=now, ended_why=why))
    for row in found:
        audit.append(
            db, kind="session.ended", actor="system", subject=row.id, detail={"why": why, "person": row.person}, at=now
        )
    return len(found)


def forget(db: DbSession, before: datetime) -> None:
    """Delete sessions whose time was over before then; the log keeps what happened."""
    db.execute(delete(Session).where(Session.expires_at < before))


def of(db: DbSession, person: str, now: datetime) -> list[Session]:
    """The person's sessions that still count, the last used first."""
    return list(db.scalars(
        select(Session)
        .where(Session.person == person, Session.ended_at.is_(None), Session.idle_until > now, Session.expires_at > now)
        .order_by(Session.seen_at.desc(), Session.id.desc())
    ))


def _ended(db: DbSession, session: str, person: str, why: str, now: datetime) -> None:
    audit.append(db, kind="session.ended", actor=f"person:{person}", subject=session, detail={"why": why}, at=now)


def _tell(db: DbSession, ended: Sequence[str], now: datetime) -> None:
    for start in range(0, len(ended), AT_ONCE):
        enqueue_all(db, TELL, ended[start:start + AT_ONCE], now)
