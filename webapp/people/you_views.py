"""The page about oneself: factors, sessions, time zone."""

from __future__ import annotations

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from vault.door import Factor, RecoveryLeft
from vault.errors import KeeperError
from webapp.errors import said
from webapp.people import readmission, sessions, zones
from webapp.people.recovery import FEW
from webapp.people.rules import browser_said
from webapp.people.sign_in_views import leave
from webapp.people.tables import Person
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash


@person
def page() -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    with house().database.read() as db:
        open_sessions = sessions.of(db, who.person, now)
        zone = db.scalar(select(Person.zone).where(Person.id == who.person))
        unconfirmed = readmission.unconfirmed(db, who, now) if who.admin else 0
    again = readmission.told(house(), who.person)
    factors, left, problem = _factors(who.person)
    return render_template(
        "people/you.html", sessions=open_sessions, zone=zone, zones=zones.every(), factors=factors, problem=problem,
        recovery=left, few=FEW, readmission=again, unconfirmed=unconfirmed, browser_said=browser_said,
    )


@person
def set_zone() -> ResponseReturnValue:
    who, now, zone = viewer().person, house().clock(), request.form.get("zone", "")
    house().database.write(lambda db: zones.choose(db, person=who, zone=zone, now=now))
    flash(said("Times are now shown in %(zone)s.", zone=zones.words(zone)), "good")
    return redirect("/you", 303)


@person
def end_session(session: str) -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    house().database.write(lambda db: sessions.end(db, session=session, person=who.person, why="ended by the person", now=now))
    flash(said("Signed out there."), "good")
    return redirect("/you", 303)


@person
def end_others() -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    why = "ended by the person"
    house().database.write(lambda db: sessions.end_others(db, person=who.person, keep=who.session, why=why, now=now))
    flash(said("You are signed out everywhere else."), "good")
    return redirect("/you", 303)


@person
def end_all() -> ResponseReturnValue:
    """Everywhere, here too: also what this page could not list."""
    who, now, why = viewer().person, house().clock(), "ended by the person"
    house().database.write(lambda db: sessions.end_all(db, person=who, why=why, actor=f"person:{who}", now=now))
    return leave()


def _factors(who: str) -> tuple[tuple[Factor, ...], RecoveryLeft, str]:
    """The person's factors and recovery codes, or why they cannot be shown now: signing out works without the vault."""
    try:
        return house().door.factors(who), house().door.recovery_left(person=who), ""
    except KeeperError as away:
        return (), RecoveryLeft(0, None), away.hint
