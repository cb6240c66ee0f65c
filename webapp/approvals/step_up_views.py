"""Going to the identity provider for a decision, and coming back."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from vault.door import SignedAgain
from vault.errors import FactorRefused, ProviderAway, ProviderRefused, Stale
from vault.secret import Secret
from webapp.approvals import step_up
from webapp.approvals.views import attempt, handed, told_again
from webapp.errors import BadInput, Conflict
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("step_up", __name__)
CANCELLED = "The identity provider did not sign you in again, or you cancelled there. Nothing was decided."


@blueprint.post("/actions/<action_id>/sign-in-again")
@person
def begin(action_id: str) -> ResponseReturnValue:
    form, recheck = request.form, handed().recheck
    try:
        url = step_up.begin(
            house(), action_id, viewer(), shown=form.get("shown", ""), typed=form.get("typed", ""), recheck=recheck
        )
    except (Conflict, FactorRefused, Stale, BadInput, ProviderAway, ProviderRefused) as error:
        return told_again(action_id, error.hint), 409 if isinstance(error, Conflict) else 400
    return render_template("people/onward.html", url=url)


@blueprint.get(step_up.BACK)
@person
def back() -> ResponseReturnValue:
    """A GET that decides: its state is good once, in the session that pressed the button, and no other site knows it."""
    args, recheck = request.args, handed().recheck
    begun = step_up.came(house(), viewer(), args.get("state", ""))

    def work() -> None:
        if args.get("error"):
            raise BadInput(CANCELLED)
        again = SignedAgain(args.get("state", ""), Secret(args.get("code", "")), args.get("iss"))
        try:
            step_up.decide(house(), viewer(), begun, again, recheck)
        except (ProviderAway, ProviderRefused) as refusal:
            raise BadInput(refusal.hint) from refusal

    return attempt(begun.action, work)
