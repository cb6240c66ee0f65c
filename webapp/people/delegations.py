"""Lending one's membership in a group to somebody else, for a time: signed for by one's own factor, kept by the keeper.

The rows here are for pages. What counts is asked of the keeper, which knows no delegation that its lender did not sign for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.orm import Session

from vault.door import Answer, Challenge
from vault.door import Delegation as Lent
from vault.errors import KeeperError
from webapp import audit
from webapp.db.count import changed
from webapp.errors import Conflict, Forbidden, Missing
from webapp.people import attempts, linking, suspension
from webapp.people.tables import Delegation, Person
from webapp.web.house import House
from webapp.web.viewer import Viewer

SHOWN = 100
ASKED = 20
"""Of the keeper at once: `vault.delegating.MOST`."""


def challenge(house: House, viewer: Viewer, wanted: Lent) -> Challenge:
    """Over exactly this delegation. Raises MayNotDecide, NotKnown, BadRequest with words for whoever asks."""
    return house.door.delegation_challenge(proof=viewer.proof, delegation=wanted)


def make(house: House, viewer: Viewer, wanted: Lent, answer: Answer) -> None:
    """Raises FactorRefused, FactorTooYoung, Stale, and as `challenge` does."""
    now, detail = house.clock(), {"to": wanted.to, "group": wanted.group, "until": wanted.until.isoformat(), **wanted.scope}
    house.database.write(lambda s: _announce(s, house, viewer, wanted, detail, now))
    made = house.door.delegate(proof=viewer.proof, delegation=wanted, answer=answer)
    house.database.write(lambda s: _made(s, viewer, made, house.clock()))


def end(house: House, viewer: Viewer, which: str) -> None:
    """By its lender, by whom it was lent to, or by an admin. Raises Missing for anybody else."""
    with house.database.read() as session:
        row = session.get(Delegation, which)
    if row is None or not (viewer.admin or viewer.person in (row.lender, row.person)):
        raise Missing("There is no such delegation.")
    house.door.delegation_end(proof=viewer.proof, by=row.lender, delegation=row.id)
    house.database.write(lambda s: _ended(s, viewer, row, house.clock()))


def standing(house: House, person: str, now: datetime) -> tuple[Lent, ...]:
    """What is lent to this person now, by the keeper's word, with who else each lender is. Nothing while the keeper is away."""
    with house.database.read() as session:
        named = _named(session, person, now)
        same = linking.others(session, {row.lender for row in named})
    try:
        found = house.door.delegations(person=person, named=[(row.lender, row.id) for row in named]) if named else ()
    except KeeperError:
        return ()
    return tuple(replace(one, same_as=same.get(one.by, ())) for one in found)


def _named(session: Session, person: str, now: datetime) -> Sequence[Row[str, str]]:
    """As many as the keeper is asked for at once: of each lender the newest first, then of each the next. Attack: one who lends
    somebody twenty things of no use takes the places of what others lent them."""
    place = func.row_number().over(partition_by=Delegation.lender, order_by=Delegation.id.desc()).label("place")
    live = (Delegation.person == person, Delegation.ended_at.is_(None), Delegation.until > now)
    ranked = select(Delegation.lender, Delegation.id, place).where(*live).subquery()
    asked = select(ranked.c.lender, ranked.c.id).order_by(ranked.c.place, ranked.c.id.desc()).limit(ASKED)
    return session.execute(asked).all()


def of(session: Session, person: str, now: datetime) -> Sequence[Delegation]:
    """Those that this person gave or got and that are not over, what ends first before the rest."""
    mine = or_(Delegation.lender == person, Delegation.person == person)
    live = (Delegation.ended_at.is_(None), Delegation.until > now)
    return session.scalars(select(Delegation).where(mine, *live).order_by(Delegation.until).limit(SHOWN)).all()


def in_group(session: Session, group: str, now: datetime) -> Sequence[Delegation]:
    live = (Delegation.group_name == group, Delegation.ended_at.is_(None), Delegation.until > now)
    return session.scalars(select(Delegation).where(*live).order_by(Delegation.until).limit(SHOWN)).all()


def away(session: Session, viewer: Viewer, until: datetime | None, now: datetime) -> None:
    """Say until when one is away; None: one is back. Others are suggested first meanwhile. It takes nobody's rights."""
    session.execute(update(Person).where(Person.id == viewer.person).values(away_until=until))
    audit.append(session, kind="person.away", actor=f"person:{viewer.person}", subject=viewer.person, at=now,
                 detail={"until": until.isoformat() if until else ""})


def _announce(
    session: Session, house: House, viewer: Viewer, wanted: Lent, detail: dict[str, object], now: datetime
) -> None:
    """In the log before the keeper is asked; and wrong codes are counted as everywhere."""
    suspension.refuse(session, viewer.person)
    if suspension.among(session, [wanted.to]):
        raise Forbidden("Their access is suspended.")
    attempts.spend(session, viewer.person, house.settings.people, now)
    audit.append(session, kind="delegation.making", actor=f"person:{viewer.person}", subject=viewer.person, at=now, detail=detail)


def _made(session: Session, viewer: Viewer, made: Lent, now: datetime) -> None:
    attempts.clear(session, viewer.person)
    session.add(Delegation(
        id=made.id, lender=made.by, person=made.to, group_name=made.group, servers=list(made.servers), classes=list(made.classes),
        up_to=made.up_to, since=made.since, until=made.until, made_at=now, ended_at=None, ended_by=None,
    ))
    later = or_(Person.lent_until.is_(None), Person.lent_until < made.until)
    session.execute(update(Person).where(Person.id == made.to, later).values(lent_until=made.until))
    audit.append(session, kind="delegation.made", actor=f"person:{viewer.person}", subject=made.id, at=now,
                 detail={"to": made.to, "group": made.group, "until": made.until.isoformat(), **made.scope})


def _ended(session: Session, viewer: Viewer, row: Delegation, now: datetime) -> None:
    ended = {"ended_at": now, "ended_by": viewer.person}
    done = session.execute(update(Delegation).where(Delegation.id == row.id, Delegation.ended_at.is_(None)).values(**ended))
    if changed(done) != 1:
        raise Conflict("This delegation is over already.")
    audit.append(session, kind="delegation.ended", actor=f"person:{viewer.person}", subject=row.id, at=now,
                 detail={"by": row.lender, "to": row.person, "group": row.group_name})


def choices(session: Session, viewer: Viewer) -> Sequence[Person]:
    """Whom one may name: everyone else who has signed in, the last seen first."""
    asked = select(Person).where(Person.id != viewer.person, Person.suspended == "").order_by(Person.seen_at.desc())
    return session.scalars(asked.limit(200)).all()


def known_groups(session: Session) -> list[str]:
    """Every group that somebody who signed in is in."""
    found = {group for groups in session.scalars(select(Person.groups).limit(5000)) for group in groups}
    return sorted(found)
