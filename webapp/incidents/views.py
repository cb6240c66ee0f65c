"""The pages of incidents: an admin's, and what a person may do for themself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from webapp.errors import BadInput, Missing, said
from webapp.incidents import ending, ledger, linked, opening, reports, retold, rules, targets
from webapp.incidents.linked import Linked
from webapp.incidents.radius import Radius, written
from webapp.incidents.rules import Kind, Target
from webapp.web.guards import admin, person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("incidents", __name__)
LONGEST = 200


@blueprint.app_context_processor
def notices() -> dict[str, Callable[[], Any]]:
    """`incident_notices()`, for the pages on which a person is told."""

    def found() -> Any:
        with house().database.read() as session:
            return reports.notices(session, viewer().person)

    return {"incident_notices": found}


def _actor() -> str:
    return f"person:{viewer().person}"


@blueprint.get("/incidents")
@admin
def index() -> ResponseReturnValue:
    with house().database.read() as session:
        rows = reports.listed(session, request.args.get("before", "")[:LONGEST])
        names = reports.actors(session, rows)
    more = len(rows) == reports.PAGE
    return render_template("incidents/index.html", incidents=rows, names=names, words=rules.WORDS, more=more)


@blueprint.get("/incidents/new")
@admin
def new() -> ResponseReturnValue:
    kind, name = request.args.get("kind", ""), request.args.get("name", "").strip()
    if not name:
        return _choose(kind)
    try:
        return _preview(targets.kind_of(kind), name)
    except (BadInput, Missing) as error:
        return _choose(kind, name, error.hint)


def _choose(kind: str, name: str = "", problem: str = "") -> ResponseReturnValue:
    choices: list[tuple[str, str]] = []
    if kind in rules.KINDS:
        with house().database.read() as session:
            choices = targets.choices(session, house().settings, targets.kind_of(kind))
    page = render_template(
        "incidents/new.html", kind=kind, name=name, problem=problem, choices=choices, words=rules.WORDS, means=rules.MEANS
    )
    return page, 400 if problem else 200


def _preview(kind: Kind, name: str, problem: str = "", reason: str = "") -> ResponseReturnValue:
    with house().database.read() as session:
        target, found = opening.look(session, house().settings, kind, name, house().clock())
        held, others = targets.suspended(session, target), linked.of(session, target.kind, target.id)
    return _confirm(target, found, held, others, problem, reason, url_for("incidents.open_"))


def _confirm(
    target: Target, found: Radius, held: str, others: Sequence[Linked], problem: str, reason: str, action: str
) -> ResponseReturnValue:
    at_stake = {"parts": retold.parts(house().settings, written(found)), "by_hand": found.by_hand}
    page = render_template(
        "incidents/confirm.html", target=target, radius=at_stake, held=held, others=others, problem=problem, reason=reason,
        action=action, words=rules.WORDS, means=rules.MEANS, unticked=set(request.form.getlist("offered")) - set(_also()),
    )
    return page, 400 if problem else 200


@blueprint.post("/incidents")
@admin
def open_() -> ResponseReturnValue:
    kind, name = targets.kind_of(request.form.get("kind", "")), request.form.get("name", "")
    reason, actor, now, settings = request.form.get("reason", ""), _actor(), house().clock(), house().settings
    also = _also()
    try:
        made = house().database.write(lambda s: linked.open_with(
            s, settings, targets.find(s, settings, kind, name), also, reason=reason, actor=actor, now=now
        ))
    except BadInput as error:
        return _preview(kind, name, error.hint, reason)
    return _opened(made, kind, name)


def _also() -> list[str]:
    """Other sign-ins of the same person that are to be suspended too."""
    return [one[:LONGEST] for one in request.form.getlist("also")]


def _opened(made: str, kind: Kind, name: str) -> ResponseReturnValue:
    """Whoever suspended themself is signed out by it: the next page would ask them to sign in."""
    if kind == "person" and {viewer().person, viewer().email} & {name, *_also()}:
        g.viewer = None
        return render_template("incidents/stopped.html", incident=made)
    return redirect(url_for("incidents.one", incident=made) if viewer().admin else url_for("connections.page"), 303)


@blueprint.get("/incidents/ledger")
@admin
def revocations() -> ResponseReturnValue:
    after = request.args.get("after", "")[:LONGEST]
    with house().database.read() as session:
        lines = ledger.open_lines(session, house().settings, after)
        outlived = ledger.outlived(session, house().settings, house().clock())
    return render_template("incidents/ledger.html", lines=lines, more=len(lines) == ledger.PAGE, outlived=outlived)


@blueprint.post("/incidents/ledger/by-hand")
@person
def by_hand() -> ResponseReturnValue:
    subject, who, actor, now = request.form.get("subject", ""), viewer(), _actor(), house().clock()
    connection = house().database.write(lambda s: ledger.by_hand(
        s, subject, person=who.person, admin=who.admin, actor=actor, now=now
    ))
    flash(said("Written down. The provider is not asked any more."), "good")
    at_account = request.form.get("on") == "account"
    return redirect(url_for("connections.one", connection=connection) if at_account else url_for("incidents.revocations"), 303)


@blueprint.get("/incidents/<incident>")
@admin
def one(incident: str) -> ResponseReturnValue:
    return _one(incident)


def _one(incident: str, problem: str = "", note: str = "") -> ResponseReturnValue:
    with house().database.read() as session:
        report = reports.one(session, house().settings, incident)
        mine = not all(ending.may(session, report.incident, f"person:{one}") for one in viewer().selves)
        others = linked.of(session, report.incident.kind, report.incident.subject)
    page = render_template(
        "incidents/one.html", report=report, incident=report.incident, mine=mine, others=others, problem=problem, note=note,
        words=rules.WORDS,
    )
    return page, 400 if problem else 200


@blueprint.post("/incidents/<incident>/resume")
@admin
def resume(incident: str) -> ResponseReturnValue:
    actor, now = _actor(), house().clock()
    house().database.write(lambda s: ending.lift(s, incident, actor, now))
    return redirect(url_for("incidents.one", incident=incident), 303)


@blueprint.post("/incidents/<incident>/close")
@admin
def close(incident: str) -> ResponseReturnValue:
    note, actor, now = request.form.get("note", ""), _actor(), house().clock()
    try:
        house().database.write(lambda s: ending.close(s, incident, note, actor, now))
    except BadInput as error:
        return _one(incident, error.hint, note)
    return redirect(url_for("incidents.one", incident=incident), 303)


@blueprint.post("/incidents/<incident>/dismiss")
@person
def dismiss(incident: str) -> ResponseReturnValue:
    who, now = viewer().person, house().clock()
    house().database.write(lambda s: reports.dismiss(s, incident, who, now))
    return redirect(url_for("connections.page") if request.form.get("on") == "accounts" else url_for("approvals.start"), 303)


@blueprint.get("/you/incident")
@person
def own() -> ResponseReturnValue:
    kind, name = targets.kind_of(request.args.get("kind", "")), request.args.get("name", "")
    return _own(kind, name or viewer().person)


def _own(kind: Kind, name: str, problem: str = "", reason: str = "") -> ResponseReturnValue:
    with house().database.read() as session:
        opening.own(session, house().settings, kind, name, viewer().person)
        target, found = opening.look(session, house().settings, kind, name, house().clock())
        held, others = targets.suspended(session, target), linked.of(session, target.kind, target.id)
    return _confirm(target, found, held, others, problem, reason, url_for("incidents.open_own"))


@blueprint.post("/you/incident")
@person
def open_own() -> ResponseReturnValue:
    kind, name = targets.kind_of(request.form.get("kind", "")), request.form.get("name", "")
    who, reason, now, settings = viewer().person, request.form.get("reason", ""), house().clock(), house().settings
    also = _also()
    try:
        made = house().database.write(lambda s: linked.open_with(
            s, settings, opening.own(s, settings, kind, name, who), also, reason=reason, actor=f"person:{who}", now=now
        ))
    except BadInput as error:
        return _own(kind, name, error.hint, reason)
    return _opened(made, kind, name)
