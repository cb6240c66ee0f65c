"""The page on which an approver proposes other arguments."""

from __future__ import annotations

from flask import Blueprint, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from webapp.approvals import editing, page
from webapp.approvals.views import handed
from webapp.errors import BadInput, Conflict
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("approvals_edit", __name__)


@blueprint.get("/actions/<action_id>/edit")
@person
def edit(action_id: str) -> str:
    return shown(action_id)


@blueprint.post("/actions/<action_id>/edit")
@person
def propose(action_id: str) -> ResponseReturnValue:
    """Nothing that was typed is lost where it cannot be taken."""
    typed = request.form
    try:
        made = editing.propose(
            house(), action_id, viewer(), handed(), shown=typed.get("shown", ""), typed=typed, why=typed.get("why", "")
        )
    except BadInput as error:
        return make_response(shown(action_id, error.hint), 400)
    except Conflict as error:
        return make_response(shown(action_id, error.hint), 409)
    return redirect(f"/actions/{made}", 303)


def shown(action_id: str, problem: str = "") -> str:
    form = editing.form(house(), action_id, viewer(), handed())
    return render_template(
        "approvals/edit.html", form=form, action=form.opened.action, document=form.opened.document, page=page, problem=problem,
        envelope=form.opened.document.envelope, typed=request.form if problem else None,
    )
