"""Pages on which two administrators let somebody in again who lost every device, and the button by which that person comes."""

from __future__ import annotations

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from vault.errors import BadRequest, FactorRefused, KeeperError, MayNotDecide, NotKnown, Stale, TooMany
from webapp.errors import BadInput, Conflict, Forbidden, Missing, said
from webapp.people import lookup, readmission
from webapp.people.answers import read_answer, with_next
from webapp.people.rules import own_path
from webapp.people.tables import Person, Readmission
from webapp.web.guards import admin, person, signing_in
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

REFUSED = (BadInput, BadRequest, Conflict, FactorRefused, Forbidden, MayNotDecide, Missing, NotKnown, Stale, TooMany)
LONGEST = 500
OPERATOR = {"operator": said("an operator")}


@admin
def readmissions() -> ResponseReturnValue:
    return _index("", 200)


def _index(problem: str, status: int) -> ResponseReturnValue:
    with house().database.read() as session:
        rows = readmission.latest(session)
        ids = {one for row in rows for one in (row.person, row.started_by, row.confirmed_by) if one}
        names = {**lookup.names(session, ids), **OPERATOR}
    return render_template(
        "people/readmissions.html", rows=rows, names=names, problem=problem, form=request.form, now=house().clock(),
    ), status


@admin
def review_readmission() -> ResponseReturnValue:
    """Who is meant, and what it does, before it is signed for."""
    try:
        with house().database.read() as session:
            found = session.get_one(Person, lookup.one(session, request.form.get("who", "").strip()[:200]))
        readmission.adopt(house(), found.id)
        return _sign(found, request.form.get("reason", "").strip()[:LONGEST], "", 200)
    except REFUSED as error:
        return _index(error.hint, 400)


def _sign(found: Person, reason: str, problem: str, status: int) -> ResponseReturnValue:
    challenge = readmission.challenge(house(), viewer(), found.id, reason=reason)
    return render_template(
        "people/readmission_sign.html", found=found, reason=reason, challenge=challenge, problem=problem,
    ), status


@admin
def start_readmission() -> ResponseReturnValue:
    reason = request.form.get("reason", "")[:LONGEST]
    with house().database.read() as session:
        found = session.get(Person, request.form.get("person", ""))
    if found is None:
        return _index(said("Nobody of that name has signed in here."), 400)
    try:
        which = readmission.start(house(), viewer(), found.id, reason, read_answer(request.form))
    except (FactorRefused, Stale, BadInput) as error:
        return _sign(found, reason, error.hint, 422)
    except REFUSED as error:
        return _index(error.hint, 400)
    flash(said("You said the first word. Another administrator has to say the second within a day."), "good")
    return redirect(url_for("people.readmission_one", which=which), 303)


@admin
def readmission_one(which: str) -> ResponseReturnValue:
    return _one(which, "", 200)


def _one(which: str, problem: str, status: int) -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    with house().database.read() as session:
        about = readmission.get(session, which).person
    readmission.adopt(house(), about)
    with house().database.read() as session:
        row = readmission.get(session, which)
        found = session.get_one(Person, row.person)
        names = {**lookup.names(session, {row.person, row.started_by, row.confirmed_by} - {""}), **OPERATOR}
    asked, refusal = None, ""
    if row.state == "started" and row.until > now and not who.selves & {row.started_by, row.person}:
        asked, refusal = _challenge(row)
    return render_template(
        "people/readmission.html", row=row, found=found, names=names, challenge=asked, refusal=refusal, problem=problem,
        over=row.until <= now, mine=bool(who.selves & {row.started_by}), theirs=bool(who.selves & {row.person}),
    ), status


def _challenge(row: Readmission) -> tuple[object, str]:
    """Or why there is none for this administrator: the page is shown all the same."""
    try:
        return readmission.challenge(house(), viewer(), row.person, which=row.id), ""
    except (MayNotDecide, Stale, NotKnown, BadRequest) as error:
        return None, error.hint


@admin
def confirm_readmission(which: str) -> ResponseReturnValue:
    with house().database.read() as session:
        row = readmission.get(session, which)
    try:
        readmission.confirm(house(), viewer(), row, read_answer(request.form))
    except REFUSED as error:
        return _one(which, error.hint, 422)
    flash(
        said("Agreed. They are signed out everywhere, and have three days to sign in and set up a new second step."), "good"
    )
    return redirect(url_for("people.readmission_one", which=which), 303)


@person
def end_readmission(which: str) -> ResponseReturnValue:
    who = viewer()
    readmission.end(house(), who, which)
    flash(said("Stopped. It lets nobody in any more."), "good")
    return redirect(url_for("people.readmissions") if who.admin and request.form.get("from") == "list" else "/you", 303)


@signing_in
def use_readmission() -> ResponseReturnValue:
    wanted = own_path(request.form.get("next"))
    try:
        readmission.use(house(), viewer())
    except (KeeperError, Missing) as error:
        flash(error.hint, "bad")
        return redirect(with_next("/sign-in/second", wanted), 303)
    return redirect(with_next("/you/factors/first", wanted), 303)
