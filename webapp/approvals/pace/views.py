"""Pages about how people decide: reports of agents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from webapp.approvals import kept_words, reasons, reports
from webapp.approvals.pace.tables import Report
from webapp.approvals.views import attempt
from webapp.errors import BadInput
from webapp.people import lookup
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("pace", __name__)


@blueprint.post("/actions/<action_id>/report")
@person
def report(action_id: str) -> ResponseReturnValue:
    the_house, who, form = house(), viewer(), request.form
    return attempt(action_id, lambda: reports.report(
        the_house, action_id, who, shown=form.get("shown", ""),
        reason=reasons.read(the_house.settings.approvals, form.get("preset", ""), form.get("reason", "")),
    ))


@blueprint.get("/approvals/reports")
@person
def index() -> str:
    return listed()


@blueprint.post("/approvals/reports/<report_id>/resume")
@person
def resume(report_id: str) -> ResponseReturnValue:
    note = request.form.get("note", "")
    try:
        reports.resume(house(), report_id, viewer(), note=note)
    except BadInput as error:
        return listed(problem=error.hint, of=report_id, note=note), 400
    return redirect(f"{reports.PAGE}#{report_id}", 303)


def listed(problem: str = "", of: str = "", note: str = "") -> str:
    who = viewer()
    with house().database.read() as session:
        found = reports.seen_by(session, who)
        people = {one for row in found for one in (row.person, row.reporter, row.resumed_by or "")} - {""}
        names = lookup.names(session, people)
    return render_template("approvals/reports.html", reports=found, names=names, who=who, problem=problem, of=of, note=note)


@blueprint.app_context_processor
def notices() -> dict[str, Callable[..., Any]]:
    """`agent_reports()`: reports that this person may resume, for the pages on which they are told it. `reject_reasons()`: the
    presets. `stored_reason(words, code)`: one that was given, in the reader's language where it is one of those."""

    def found() -> Sequence[Report]:
        with house().database.read() as session:
            return reports.to_resume(session, viewer())

    return {
        "agent_reports": found, "reject_reasons": lambda: house().settings.approvals.reject_reasons,
        "stored_reason": kept_words.refusal,
    }
