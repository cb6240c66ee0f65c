"""What people do about an action without deciding it: say that they are on it. And what its page says about people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, current_app, g, redirect, request
from flask.typing import ResponseReturnValue

from vault.errors import FactorRefused, Stale
from vault.evidence import GLASS_REASON
from webapp.approvals import absence, claims, extending, glass, kept_words, shortage
from webapp.approvals.absence import Absence
from webapp.approvals.forms import answer_of
from webapp.approvals.page import Change
from webapp.approvals.seeing import may_pass_alone
from webapp.approvals.showing import Shown
from webapp.approvals.views import attempt, handed, rendered, see, since_shown, told_again
from webapp.errors import BadInput, Conflict, Missing, said
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("absence", __name__)


@blueprint.app_context_processor
def offered() -> dict[str, Any]:
    """`absence(shown)` for the page of one action, `stuck_actions()` for an admin's start page."""

    def of(shown: Shown) -> Absence:
        """Once for a page, though several parts of it ask."""
        kept: tuple[Shown, Absence] | None = g.get("absence")
        if kept is None or kept[0] is not shown:
            kept = (shown, absence.of(house(), shown.opened, viewer()))
            g.absence = kept
        return kept[1]

    def stuck() -> Any:
        with house().database.read() as session:
            return shortage.stuck(session, viewer(), house().clock())

    return {"absence": of, "stuck_actions": stuck, "now_is": house().clock, "glass_reason": GLASS_REASON,
            "stored_shortage": kept_words.short}


@blueprint.post("/actions/<action_id>/claim")
@person
def claim(action_id: str) -> ResponseReturnValue:
    return attempt(action_id, lambda: claims.claim(house(), action_id, viewer()))


@blueprint.post("/actions/<action_id>/release")
@person
def release(action_id: str) -> ResponseReturnValue:
    return attempt(action_id, lambda: claims.release(house(), action_id, viewer()))


@blueprint.post("/actions/<action_id>/extend")
@person
def extend(action_id: str) -> ResponseReturnValue:
    return attempt(action_id, lambda: extending.extend(house(), action_id, viewer()))


@blueprint.get("/actions/<action_id>/alone")
@person
def alone(action_id: str) -> ResponseReturnValue:
    """The page of break-glass, apart from where one approves."""
    return _alone(action_id, "", 200)


def _alone(action_id: str, problem: str, status: int, changes: Sequence[Change] = ()) -> ResponseReturnValue:
    shown, who = see(action_id), viewer()
    if not may_pass_alone(house(), shown.opened, who):
        raise Missing("There is nothing here for you to pass alone.")
    asked = glass.challenge(house(), action_id, who, shown=shown.seen.written(), recheck=handed().recheck)
    return rendered(replace(shown, challenge=asked), "approvals/alone.html", problem, changes), status


def _changed(action_id: str, error: Conflict) -> ResponseReturnValue:
    """As the action's own page does: why not, what changed meanwhile, and what was typed. Where it waits no more, that page."""
    try:
        shown = see(action_id)
    except Missing:  # of the groups that were asked they are none, and what is over is not theirs to see
        raise error from None
    if not may_pass_alone(house(), shown.opened, viewer()):
        return told_again(action_id, error.hint), 409
    return _alone(action_id, error.hint, 409, since_shown(shown))


@blueprint.post("/actions/<action_id>/alone")
@person
def pass_alone(action_id: str) -> ResponseReturnValue:
    form, incident = request.form, current_app.extensions["glass"]
    try:
        glass.pass_alone(
            house(), action_id, viewer(), shown=form.get("shown", ""), reason=form.get("reason", ""), answer=answer_of(form),
            recheck=handed().recheck, incident=incident,
        )
    except (FactorRefused, Stale, BadInput) as error:
        return _alone(action_id, error.hint, 400)
    except Conflict as error:
        return _changed(action_id, error)
    flash(said(
        "Passed, by you alone. Everyone who would have decided is told, and an incident is open until another admin closes it."
    ), "warn")
    return redirect(f"/actions/{action_id}", 303)
