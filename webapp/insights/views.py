"""The pages of figures, the mark of regret on an action's page, and trials of other rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.seeing import Opened
from webapp.approvals.views import attempt
from webapp.config import Settings
from webapp.errors import BadInput, Forbidden, LimitReached, Unavailable
from webapp.insights import figures, files, regrets, shown, trials
from webapp.insights import rules as speaking
from webapp.insights.gathering import gather
from webapp.insights.shelf import Shelf
from webapp.people import lookup
from webapp.policy import active
from webapp.policy.errors import PolicyRefused
from webapp.policy.reading import Rule
from webapp.policy.tables import ONLY, ActivePolicy
from webapp.web.guards import admin, person
from webapp.web.house import House, house
from webapp.web.viewer import Viewer, viewer

blueprint = Blueprint("insights", __name__)
PIECES = 4
"""Of what is not gathered yet, before a page is shown; the worker does the rest."""


@blueprint.get("/insights")
@person
def index() -> str:
    who, days = viewer(), _days()
    found = _found(who, days)
    return render_template("insights/index.html", days=days, ranges=figures.RANGES, shown=shown, regrets=regrets, **found)


@blueprint.get("/insights/<table>.csv")
@person
def exported(table: str) -> Response:
    who, days, now = viewer(), _days(), house().clock()
    if table not in ("times", "rules", "regrets"):
        raise BadInput("There are times.csv, rules.csv and regrets.csv.")
    found = _found(who, days)
    if found["rules"] is None and table == "rules":
        raise Forbidden("How rules fare is for admins and auditors.")
    body = {"times": lambda: files.times(found["times"].items()), "rules": lambda: files.rules(found["rules"]),
            "regrets": lambda: files.regrets(found["regretted"])}[table]()
    detail = {"table": table, "days": days}
    house().database.write(lambda s: audit.append(
        s, kind="insights.exported", actor=f"person:{who.person}", subject=who.person, at=now, detail=detail
    ))
    return Response(body, mimetype="text/csv", headers={
        "Content-Type": "text/csv; charset=utf-8; header=present", "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="insights-{table}-{days}d.csv"',
    })


def _days() -> int:
    asked = request.args.get("days", "30")
    return int(asked) if asked in map(str, figures.RANGES) else 30


def _found(who: Viewer, days: int) -> dict[str, Any]:
    """Admins and auditors see all; others what their own groups are asked about."""
    groups = None if who.admin or who.auditor else tuple(sorted(who.groups))
    counted: Shelf[dict[str, Any]] = current_app.extensions.setdefault("insights", Shelf())
    return counted.get((days, groups), lambda: _count(house(), days, groups))


def _count(the_house: House, days: int, groups: tuple[str, ...] | None) -> dict[str, Any]:
    now, settings, gathered, everything = the_house.clock(), the_house.settings, _gathered(the_house), groups is None
    since = now - timedelta(days=days)
    scope, known = figures.Scope(since, settings.insights.few, groups), _rules(settings)

    def read(session: Session) -> dict[str, Any]:
        return {
            "times": {by: figures.of(session, scope, by) for by in figures.BYS}, "gathered": gathered, "everything": everything,
            "regretted": regrets.of(session, since, groups), "settings": settings, "since": since, "counted": now,
            "active": session.get(ActivePolicy, ONLY),
            "rules": speaking.of(session, known, since, settings.insights.cases) if everything else None,
        }

    return the_house.database.aside(read)


def _gathered(the_house: House) -> bool:
    """What cannot be gathered now keeps nobody from what was gathered before."""
    try:
        return gather(the_house, PIECES)
    except Unavailable:
        return False


def _rules(settings: Settings) -> Sequence[Rule]:
    """Of this process's set; none where its files do not load: then nothing is decided either, and other pages say so."""
    try:
        return active.loaded(settings).rules
    except PolicyRefused:
        return ()


@blueprint.post("/actions/<action_id>/regret")
@person
def regret(action_id: str) -> ResponseReturnValue:
    return attempt(action_id, lambda: regrets.mark(house(), action_id, viewer(), request.form.get("regret", "")))


@blueprint.app_context_processor
def regretted() -> dict[str, Callable[..., Any]]:
    """`regrets_of(opened)` for an action's page: who said so, and whether the viewer may."""

    def found(opened: Opened) -> dict[str, Any]:
        who = viewer()
        with house().database.read() as session:
            said = regrets.on(session, opened.action.id)
        longest = house().settings.approvals.reason_length
        return {"said": said, "may": regrets.may_mark(opened, who, house().clock()), "longest": longest}

    return {"regrets_of": found}


@blueprint.get("/insights/replay")
@admin
def replays() -> str:
    return _replays()


@blueprint.post("/insights/replay")
@admin
def begin() -> ResponseReturnValue:
    form = request.form
    days = int(form.get("days", "")) if form.get("days", "").isdecimal() and len(form.get("days", "")) < 4 else 0
    try:
        actor = f"person:{viewer().person}"
        trial = trials.begin(house(), actor, days=days, name=form.get("name", ""), text=form.get("text", ""))
    except (BadInput, LimitReached, PolicyRefused) as error:
        return _replays(error.hint), 400
    return redirect(url_for("insights.replay", trial_id=trial), 303)


def _replays(problem: str = "") -> str:
    with house().database.read() as session:
        rows, decides = trials.latest(session), trials.decides(session)
        names = lookup.names(session, {row.by for row in rows})
    return render_template("insights/replays.html", trials=rows, names=names, active=decides, problem=problem, typed=request.form,
                           most=house().settings.insights.requests_days, states=shown.STATES)


@blueprint.get("/insights/replay/<trial_id>")
@admin
def replay(trial_id: str) -> str:
    return _trial(trial_id, "insights/replay.html")


@blueprint.get("/insights/replay/<trial_id>/now")
@admin
def replay_now(trial_id: str) -> ResponseReturnValue:
    """The part that changes until it has ended."""
    return _trial(trial_id, "insights/_replay.html")


def _trial(trial_id: str, template: str) -> str:
    with house().database.read() as session:
        trial = trials.one(session, trial_id)
        found = trial.result or {}
        people = {one["name"] for one in found.get("people", ())}
        people |= {example["person"] for change in found.get("changes", ()) for example in change["examples"]}
        names, decides = lookup.names(session, {*people, trial.by}), trials.decides(session)
    return render_template(template, trial=trial, found=found, names=names, active=decides, shown=shown)
