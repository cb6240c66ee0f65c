"""Letting somebody in again who lost every device. The keeper takes two administrators' words, each signed for by a passkey, and
gives the person who then signs in a ticket to enrol by; the rows here are for pages, and the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session as DbSession

from vault.door import Answer, Challenge
from vault.door import Readmission as Said
from vault.errors import KeeperError
from webapp import audit
from webapp.db.count import changed
from webapp.db.once import insert_once
from webapp.errors import Conflict, Forbidden, Missing
from webapp.people import sessions, suspension
from webapp.people.tables import Person, Readmission, Session
from webapp.web.house import House
from webapp.web.viewer import Viewer

SHOWN = 50
WHY = "administrators let them in again"
OPEN = ("started", "agreed")
COPIED = ("person", "reason", "state", "started_by", "confirmed_by", "until")
SUSPENDED = "Their access is suspended. Lift that first, or leave them out."


def challenge(house: House, viewer: Viewer, person: str, *, reason: str = "", which: str = "") -> Challenge:
    """For the first word, or for the second on `which`. Raises MayNotDecide and others of the keeper's with words for whoever
    asks."""
    return house.door.readmission_challenge(proof=viewer.proof, person=person, reason=reason, readmission=which)


def start(house: House, viewer: Viewer, person: str, reason: str, answer: Answer) -> str:
    """The first word; its id. Raises FactorRefused, FactorTooYoung, Stale, Forbidden, and as `challenge` does."""
    house.database.write(lambda s: _announce(s, house, viewer, person, "readmission.starting", {"reason": reason[:500]}))
    said = house.door.readmission_say(proof=viewer.proof, person=person, reason=reason, answer=answer)
    house.database.write(lambda s: _started(s, house, said, f"person:{viewer.person}", "readmission.started"))
    return said.id


def confirm(house: House, viewer: Viewer, row: Readmission, answer: Answer) -> None:
    """The second word: from now on the person has three days to come. All of their sessions are over. Raises as `start` does."""
    house.database.write(lambda s: _announce(s, house, viewer, row.person, "readmission.confirming", {"readmission": row.id}))
    said = house.door.readmission_say(proof=viewer.proof, person=row.person, readmission=row.id, answer=answer)
    house.database.write(lambda s: _agreed(s, house, said, f"person:{viewer.person}"))


def end(house: House, viewer: Viewer, which: str) -> None:
    """Stop it: by an administrator, or by whoever it is about. Raises Missing for anybody else."""
    adopt(house, viewer.person)
    with house.database.read() as session:
        row = session.get(Readmission, which)
    if row is None or not (viewer.admin or viewer.person == row.person):
        raise Missing("There is nothing to stop.")
    house.door.readmission_end(proof=viewer.proof, person=row.person, readmission=row.id)
    house.database.write(lambda s: _over(s, house, row, "ended", f"person:{viewer.person}"))


def use(house: House, viewer: Viewer) -> None:
    """They came. Raises Missing where nothing waits for them, and Stale, NotSignedIn, MayNotDecide by the keeper's word."""
    with house.database.read() as session:
        row = of(session, viewer.person, house.clock())
    if row is None or row.state != "agreed":
        raise Missing("Nothing waits for you here. Ask two administrators.")
    house.database.write(lambda s: _announce(s, house, viewer, viewer.person, "readmission.using", {"readmission": row.id}))
    ticket = house.door.readmission_use(proof=viewer.proof, readmission=row.id)
    house.database.write(lambda s: _used(s, house, viewer, row, ticket))


def by_operator(house: House, person: str, reason: str) -> Said:
    """An operator's word alone, on the machine. Raises KeeperError: not known to it, or not asked by an operator."""
    said = house.door.person_readmit(person=person, reason=reason)

    def write(session: DbSession) -> None:
        _started(session, house, said, "cli", "readmission.by_operator")
        _sign_out(session, house, person, "cli")

    house.database.write(write)
    return said


# -- what pages show ---------------------------------------------------------------------------------------------------


def adopt(house: House, person: str) -> None:
    """What the keeper has open for this person and no row tells of, or tells otherwise: its answer was lost on the way, or the
    row was.

    Attack: whoever can write to the database takes the row away, so that the person neither sees it nor stops it."""
    said = house.door.readmission(person=person)
    if said is None:
        return
    with house.database.read() as session:
        row = session.get(Readmission, said.id)
    if row is None:
        house.database.write(lambda s: _started(s, house, said, "system", "readmission.found"))
    elif (row.state, said.state) == ("started", "agreed"):
        house.database.write(lambda s: _agreed(s, house, said, "system"))
    elif _values(row) != _values(said) and house.door.readmission(person=person) == said:
        house.database.write(lambda s: _again(s, house, said, row))


def told(house: House, person: str) -> Readmission | None:
    """What is open for whoever signs in, by the keeper's word; by the row's where the keeper does not answer."""
    with suppress(KeeperError):
        adopt(house, person)
    with house.database.read() as session:
        return of(session, person, house.clock())


def of(session: DbSession, person: str, now: datetime) -> Readmission | None:
    """What is open for this person, as the row says."""
    asked = select(Readmission).where(Readmission.person == person, Readmission.state.in_(OPEN), Readmission.until > now)
    return session.scalars(asked.order_by(Readmission.started_at.desc()).limit(1)).first()


def get(session: DbSession, which: str) -> Readmission:
    """Raises Missing."""
    row = session.get(Readmission, which)
    if row is None:
        raise Missing("There is no such thing here.")
    return row


def latest(session: DbSession) -> Sequence[Readmission]:
    return session.scalars(select(Readmission).order_by(Readmission.started_at.desc(), Readmission.id).limit(SHOWN)).all()


def unconfirmed(session: DbSession, viewer: Viewer, now: datetime) -> int:
    """How many wait for the second word of somebody like this viewer."""
    asked = select(Readmission.started_by, Readmission.person).where(Readmission.state == "started", Readmission.until > now)
    return sum(not viewer.selves & {row.started_by, row.person} for row in session.execute(asked.limit(SHOWN)))


# -- writing -----------------------------------------------------------------------------------------------------------


def _announce(
    session: DbSession, house: House, viewer: Viewer, person: str, kind: str, detail: Mapping[str, object]
) -> None:
    """In the log before the keeper is asked."""
    suspension.refuse(session, viewer.person)
    if suspension.among(session, [person]):
        raise Forbidden(SUSPENDED)
    audit.append(session, kind=kind, actor=f"person:{viewer.person}", subject=person, at=house.clock(), detail=detail)


def _started(session: DbSession, house: House, said: Said, actor: str, kind: str) -> None:
    now = house.clock()
    agreed = said.state == "agreed"
    before = (Readmission.person == said.person, Readmission.state.in_(OPEN), Readmission.id != said.id)
    session.execute(update(Readmission).where(*before).values(state="ended", ended_at=now))
    inserted = insert_once(
        session, Readmission, id=said.id, **_values(said), started_at=now, confirmed_at=now if agreed else None, ended_at=None
    )
    if not inserted:
        return  # somebody looked, and adopted it, before we had written what we were answered
    audit.append(session, kind=kind, actor=actor, subject=said.person, at=now,
                 detail={"readmission": said.id, "person": said.person, "reason": said.reason, "until": said.until.isoformat()})


def _values(one: Said | Readmission) -> dict[str, Any]:
    return {name: getattr(one, name) for name in COPIED}


def _again(session: DbSession, house: House, said: Said, row: Readmission) -> None:
    """The row as the keeper has it."""
    now = house.clock()
    news = said.confirmed_by != row.confirmed_by
    at = now if news else row.confirmed_at
    session.execute(
        update(Readmission).where(Readmission.id == said.id).values(**_values(said), confirmed_at=at, ended_at=None)
    )
    if news:
        _sign_out(session, house, said.person, "system")
    audit.append(session, kind="readmission.found", actor="system", subject=said.person, at=now,
                 detail={"readmission": said.id, "person": said.person, "reason": said.reason, "until": said.until.isoformat()})


def _agreed(session: DbSession, house: House, said: Said, actor: str) -> None:
    now = house.clock()
    done = session.execute(update(Readmission).where(Readmission.id == said.id, Readmission.state == "started").values(
        state="agreed", confirmed_by=said.confirmed_by, confirmed_at=now, until=said.until
    ))
    if changed(done) != 1:
        row = session.get(Readmission, said.id)
        if row is not None and _values(row) == _values(said):
            return  # adopted meanwhile
        raise Conflict("Somebody was first.")
    _sign_out(session, house, said.person, actor)
    audit.append(session, kind="readmission.agreed", actor=actor, subject=said.person, at=now,
                 detail={"readmission": said.id, "person": said.person, "started_by": said.started_by,
                         "until": said.until.isoformat()})


def _sign_out(session: DbSession, house: House, person: str, actor: str) -> None:
    """Not told to the keeper once more: it ended them with the word itself, and who signs in again meanwhile stays signed in."""
    sessions.end_where(session, Session.person == person, why=WHY, actor=actor, now=house.clock(), tell=False)


def _used(session: DbSession, house: House, viewer: Viewer, row: Readmission, ticket: str) -> None:
    """The factors of before are not listed any more: what is enrolled now takes their place."""
    sessions.replace_ticket(session, viewer.session, ticket)
    sessions.end_where(session, Session.person == viewer.person, Session.id != viewer.session, why=WHY,
                       actor=f"person:{viewer.person}", now=house.clock(), tell=False)
    session.execute(update(Person).where(Person.id == viewer.person).values(factors=[]))
    _over(session, house, row, "used", f"person:{viewer.person}")


def _over(session: DbSession, house: House, row: Readmission, state: str, actor: str) -> None:
    now = house.clock()
    done = session.execute(
        update(Readmission).where(Readmission.id == row.id, Readmission.state.in_(OPEN)).values(state=state, ended_at=now)
    )
    if changed(done) != 1:
        raise Conflict("Somebody was first.")
    audit.append(session, kind=f"readmission.{state}", actor=actor, subject=row.person, at=now,
                 detail={"readmission": row.id, "person": row.person})
