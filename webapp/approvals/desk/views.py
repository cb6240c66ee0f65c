"""The lists' pages: what waits, what was put off, what others decide, what ended; several at once; views; export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, Response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from webapp.approvals import reasons, seeing, seen
from webapp.approvals.desk import bulk, export, filters, life, listing, saved, snoozing
from webapp.approvals.desk.filters import Filter
from webapp.approvals.desk.listing import Shown
from webapp.approvals.forms import tab_of
from webapp.approvals.queue import Listing, Tab
from webapp.errors import BadInput, Conflict, LimitReached, nsaid, said
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("desk", __name__)


@blueprint.get("/actions")
@person
def actions() -> ResponseReturnValue:
    tab = tab_of(request.args.get("tab"))
    if tab == "all":
        return redirect(saved.address("all", request.query_string.decode("ascii", "replace")), 303)
    return _page("approvals/queue.html", tab)


@blueprint.get("/actions/rows")
@person
def rows() -> str:
    """The list as a page that is open shows it: what it has keeps its place."""
    before = listing.ids_of(request.args.get("shown", ""), house().settings.approvals.page)
    return render_template("approvals/_queue.html", **listed(tab_of(request.args.get("tab")), before))


@blueprint.get("/history")
@person
def history() -> ResponseReturnValue:
    return _page("approvals/history.html", "all")


@blueprint.get("/actions/<action_id>/life")
@person
def life_of(action_id: str) -> str:
    opened = seeing.open_for(house(), action_id, viewer())
    return render_template("approvals/life.html", action=opened.action, events=events(action_id))


@blueprint.post("/actions/reject/ask")
@person
def ask() -> ResponseReturnValue:
    """Which ones, and why: nothing is rejected before that was asked."""
    try:
        picked = bulk.picked(request.form.getlist("pick"))
    except BadInput as error:
        return _back(error.hint, "warn")
    return _asking(picked)


@blueprint.post("/actions/reject/all")
@person
def reject_all() -> ResponseReturnValue:
    picked = [pick.partition(" ") for pick in request.form.getlist("pick")]
    shown = {action: digest for action, _, digest in picked}
    try:
        why = reasons.read(house().settings.approvals, request.form.get("preset", ""), request.form.get("reason", ""))
        results = bulk.reject(house(), viewer(), shown, why)
    except BadInput as error:
        return _asking(list(shown)[:bulk.MOST], error.hint), 400
    return render_template("approvals/rejected_several.html", results=results, here=_here())


@blueprint.post("/actions/snooze")
@person
def snooze() -> ResponseReturnValue:
    picked = request.form.getlist("pick")
    try:
        results = bulk.put_off(house(), viewer(), picked, request.form.get("until", ""))
    except BadInput as error:
        return _back(error.hint, "warn")
    for kind, words in snoozing.became(results):
        flash(words, kind)
    return redirect(_here(), 303)


@blueprint.post("/actions/wake")
@person
def wake() -> ResponseReturnValue:
    try:
        back = bulk.bring_back(house(), viewer(), request.form.getlist("pick"))
    except BadInput as error:
        return _back(error.hint, "warn")
    return _back(nsaid("1 action waits for you again.", "%(num)s actions wait for you again.", back), "good")


@blueprint.get("/actions/export.csv")
@person
def exported_csv() -> Response:
    return _exported("csv", export.as_csv, "text/csv; charset=utf-8; header=present")


@blueprint.get("/actions/export.json")
@person
def exported_json() -> Response:
    return _exported("json", export.as_json, "application/json")


@blueprint.post("/views")
@person
def keep() -> ResponseReturnValue:
    """Keep the list that is shown, as it is narrowed, under a name."""
    name, who, now = request.form.get("name", ""), viewer().person, house().clock()
    try:
        tab, asked = _asked_here()
        view = house().database.write(lambda s: saved.add(s, who, name, tab, asked, now))
    except (BadInput, Conflict, LimitReached) as error:
        return _back(error.hint, "bad")
    return _back(said("Kept as “%(name)s”.", name=view.name), "good")


@blueprint.post("/views/<view_id>/rename")
@person
def rename(view_id: str) -> ResponseReturnValue:
    name, who, now = request.form.get("name", ""), viewer().person, house().clock()
    try:
        house().database.write(lambda s: saved.rename(s, who, view_id, name, now))
    except (BadInput, Conflict) as error:
        return _back(error.hint, "bad")
    return _back(said("Renamed."), "good")


@blueprint.post("/views/<view_id>/delete")
@person
def delete(view_id: str) -> ResponseReturnValue:
    who, now = viewer().person, house().clock()
    house().database.write(lambda s: saved.remove(s, who, view_id, now))
    return _back(said("The view is deleted. The actions in it are not."), "good")


def listed(tab: Tab, before: Sequence[str] = ()) -> dict[str, Any]:
    """What the lists' templates need."""
    the_house, who, after = house(), viewer(), request.args.get("after")
    now, limit, asked, problem = the_house.clock(), the_house.settings.approvals.page, Filter(), ""
    try:
        asked = filters.read(request.args)
    except BadInput as error:
        problem = error.hint
    with the_house.database.read() as session:
        shown = Shown(Listing(()))
        if not problem:
            shown = listing.listed(session, who, tab, asked, now, limit=limit, after=after, before=before)
        whole = None if tab != "me" or asked or before or problem else shown.listing
        counts, views = listing.counts(session, who, now, whole), saved.of(session, who.person)
    if tab == "me":
        seen.listed(the_house, who.person, [row.id for row in shown.listing.rows if row.id not in shown.ended])
    return {
        "tab": tab, "after": after, "asked": asked, "problem": problem, "shown": shown, "listing": shown.listing,
        "waiting": counts.waiting, "snoozed": counts.snoozed, "waiting_count": lambda: counts.waiting, "views": views,
        "address": saved.address, "choices": snoozing.CHOICES, "narrowing": filters, "now": now,
        "ticks": tab in ("me", "snoozed"), "most": export.MOST,
    }


def events(action_id: str) -> list[life.Event]:
    """For the template of an action's page. Who may see the action was asked before."""
    with house().database.read() as session:
        return life.of(session, action_id, viewer().person)


@blueprint.app_context_processor
def life_events() -> dict[str, Any]:
    return {"life_events": events}


def _exported(kind: export.Format, write: Callable[..., Iterator[bytes]], content_type: str) -> Response:
    """Read strictly: a filter that was not understood must not become a file of everything."""
    tab, asked, who = tab_of(request.args.get("tab")), filters.read(request.args), viewer()
    export.begin(house(), who, tab, asked, kind)
    name = f"counterseal-{tab}-{house().clock():%Y-%m-%d}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(write(house(), who, tab, asked), content_type=content_type, headers=headers)


def _page(template: str, tab: Tab) -> ResponseReturnValue:
    made = listed(tab)
    return render_template(template, **made), 400 if made["problem"] else 200


def _asking(picked: Sequence[str], problem: str = "") -> str:
    """With what was typed, where something is wrong with it."""
    with house().database.read() as session:
        found = bulk.to_reject(session, viewer(), picked)
    return render_template(
        "approvals/reject_several.html", actions=found, left=len(picked) - len(found), here=_here(), problem=problem,
        typed=request.form, longest=house().settings.approvals.reason_length,
    )


def _asked_here() -> tuple[Tab, Filter]:
    """The list that a form was on. Raises BadInput."""
    try:
        args = dict(parse_qsl(request.form.get("here", "")[:2000], max_num_fields=20))
    except ValueError as error:
        raise BadInput("That address has too many parts.") from error
    return tab_of(args.get("tab")), filters.read(args)


def _here() -> str:
    """Its address: made anew from what was understood, so that nobody is led elsewhere."""
    try:
        tab, asked = _asked_here()
    except BadInput:
        return "/actions"
    return saved.address(tab, asked.query())


def _back(message: str, kind: str) -> ResponseReturnValue:
    if message:
        flash(message, kind)
    return redirect(_here(), 303)
