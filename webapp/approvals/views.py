"""The approvers' pages: start, and one action. The lists are in `desk.views`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from vault.errors import FactorRefused, Stale
from webapp.approvals import caps, deciding, editing, kept_words, origin, page, queue, reasons, seen, showing, since
from webapp.approvals.desk import listing
from webapp.approvals.desk.filters import Filter
from webapp.approvals.forms import answer_of, found_of
from webapp.approvals.outcome import Handed
from webapp.approvals.pace import looks
from webapp.approvals.pace.rules import band
from webapp.connections import lookup as accounts
from webapp.errors import BadInput, Conflict, Unavailable
from webapp.people.streams import still_signed_in
from webapp.web.guards import person
from webapp.web.house import House, house
from webapp.web.htmx import load_again
from webapp.web.languages import spoken
from webapp.web.live import Seats, stream
from webapp.web.viewer import Viewer, viewer

blueprint = Blueprint("approvals", __name__)


def handed() -> Handed:
    """What the composition root handed down. Without it nothing can be compared, so nothing is decided."""
    found: Handed | None = current_app.extensions.get("approvals")
    if found is None:
        raise Unavailable("This process was not given what it needs to decide.", code="not_composed")
    return found


@blueprint.get("/")
@person
def start() -> str:
    return render_template("approvals/start.html", **started())


@blueprint.get("/start")
@person
def start_now() -> str:
    return render_template("approvals/_start.html", **started())


def started() -> dict[str, Any]:
    """An open page names the rows that it has: they keep their places, as in `desk.views.rows`."""
    the_house, who = house(), viewer()
    now, limit = the_house.clock(), 5
    with the_house.database.read() as session:

        def shown(tab: queue.Tab, name: str) -> listing.Shown:
            before = listing.ids_of(request.args.get(name, ""), limit)
            return listing.listed(session, who, tab, Filter(), now, limit=limit, before=before)

        return {
            "waiting": shown("me", "waiting"), "recent": shown("mine", "recent"),
            "uncertain": queue.uncertain(session, who), "others": queue.others(session, who, now, limit).rows,
            "snoozed": queue.count_snoozed(session, who, now), "now": now,
        }


@blueprint.get("/actions/count")
@person
def count() -> Response:
    """The one live stream of a page: the badge, and the event `actions` that its other parts wait for. It tells of the person's
    accounts too."""
    app, the_house, who = current_app._get_current_object(), house(), viewer()  # type: ignore[attr-defined]
    seats: Seats = app.extensions["seats"]
    language = spoken()

    def render() -> str:
        with app.app_context():
            g.spoken = language
            with the_house.database.look() as on:
                version = f"{queue.version(on)} {accounts.version(on, who.person)}"
            with the_house.database.read() as session:
                waiting = queue.count(session, who, the_house.clock())
            return render_template("approvals/_badge.html", version=version, waiting_count=lambda: waiting)

    alive = still_signed_in(the_house, who)
    topics = ("queue", accounts.topic(who.person))
    return stream(the_house.database.changes, seats, who.person, topics, render, alive=alive, also="actions")


@blueprint.get("/actions/<action_id>")
@person
def action(action_id: str) -> str:
    shown, who = see(action_id), viewer()
    if shown.decides:
        looks.opened(house(), action_id, who.person, band(shown.opened.document.base_minor))
    seen.look(house(), action_id, who.person)
    return rendered(shown, "approvals/action.html")


@blueprint.get("/actions/<action_id>/now")
@person
def now(action_id: str) -> Response:
    """The part that changes by itself: who decided. When the action moves on, all of its page does: the facts and the title
    speak of what is going to happen, or of what did."""
    shown = see(action_id)
    response = make_response(rendered(shown, "approvals/_now.html"))
    if request.args.get("state", shown.action.state) != shown.action.state:
        load_again(response, f"/actions/{action_id}")
    return response


@blueprint.post("/actions/<action_id>/challenge")
@person
def challenge(action_id: str) -> ResponseReturnValue:
    """A fresh challenge for a page that has been open for longer than one lives."""
    made = deciding.challenge(house(), action_id, viewer(), shown=request.form.get("shown", ""), recheck=handed().recheck)
    return jsonify(options=made.options, sealed=made.sealed)


@blueprint.post("/actions/<action_id>/decide")
@person
def decide(action_id: str) -> ResponseReturnValue:
    shown, recheck = request.form.get("shown", ""), handed().recheck
    return attempt(action_id, lambda: deciding.decide(
        house(), action_id, viewer(), shown=shown, answer=answer_of(request.form), recheck=recheck,
        typed=request.form.get("typed", ""), match="".join(request.form.get("match", "").split()),
    ))


@blueprint.post("/actions/<action_id>/reject")
@person
def reject(action_id: str) -> ResponseReturnValue:
    the_house, form = house(), request.form

    def work() -> None:
        why = reasons.read(the_house.settings.approvals, form.get("preset", ""), form.get("reason", ""))
        deciding.reject(the_house, action_id, viewer(), shown=form.get("shown", ""), reason=why.words, code=why.code)

    return attempt(action_id, work)


@blueprint.post("/actions/<action_id>/withdraw")
@person
def withdraw(action_id: str) -> ResponseReturnValue:
    return attempt(action_id, lambda: deciding.withdraw(house(), action_id, viewer()))


@blueprint.post("/actions/<action_id>/close")
@person
def close(action_id: str) -> ResponseReturnValue:
    found, note = found_of(request.form.get("found")), request.form.get("note", "")
    return attempt(action_id, lambda: deciding.close(house(), action_id, viewer(), found=found, note=note))


def attempt(action_id: str, work: Callable[[], Any]) -> ResponseReturnValue:
    """Do it and go back to the page; or show the page again, as it is now, with why it was not done."""
    try:
        work()
    except (Conflict, FactorRefused, Stale, BadInput) as error:
        response = make_response(told_again(action_id, error.hint))
        response.status_code = 409 if isinstance(error, Conflict) else 400
        return response
    return redirect(f"/actions/{action_id}", 303)


def told_again(action_id: str, problem: str) -> str:
    """The page as it is now: why it was not done, what changed since it was shown, and what was typed."""
    shown = see(action_id)
    return rendered(shown, "approvals/action.html", problem, since_shown(shown))


def since_shown(shown: showing.Shown) -> Sequence[page.Change]:
    """What changed since the page was shown whose form was sent."""
    now = house().clock()
    return since.changes(request.form.get("shown", ""), shown.opened, shown.opened.speaker(viewer(), now), now)


def see(action_id: str) -> showing.Shown:
    return showing.show(house(), action_id, viewer(), handed().recheck)


def render(action_id: str, template: str, problem: str = "") -> str:
    return rendered(see(action_id), template, problem)


def rendered(shown: showing.Shown, template: str, problem: str = "", changes: Sequence[page.Change] = ()) -> str:
    the_house, who = house(), viewer()
    return render_template(
        template, shown=shown, action=shown.action, envelope=shown.opened.document.envelope, document=shown.opened.document,
        page=page, origin=origin.of, stored=kept_words, problem=problem, typed=request.form, changes=changes,
        waits=showing.waits_now(shown.action, the_house.clock()),
        asks=looks.asked_of(the_house, who.person, shown.opened) if shown.decides else None,
        dwell_ms=the_house.settings.approvals.dwell_ms, who=who, pick_up_minutes=the_house.settings.approvals.pick_up // 60,
        may_edit=lambda: editing.may_edit(shown.opened, who), caps=lambda: caps.shown(the_house, shown.opened, who),
        base_currency=the_house.settings.policy.base_currency, again_title=the_house.settings.people.idp_title,
    )


def waiting_count(the_house: House, who: Viewer | None) -> int:
    if who is None or who.factor_at is None:
        return 0
    with the_house.database.read() as session:
        return queue.count(session, who, the_house.clock())


@blueprint.app_context_processor
def badge() -> dict[str, Any]:
    """`waiting_count()` for the navigation."""
    from flask import g

    return {"waiting_count": lambda: waiting_count(house(), g.get("viewer"))}


