"""The button that stops what was approved before it runs."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from webapp.approvals.undo import stop
from webapp.approvals.views import attempt
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("undo", __name__)


@blueprint.post("/actions/<action_id>/stop")
@person
def stop_it(action_id: str) -> ResponseReturnValue:
    shown = request.form.get("shown", "")
    return attempt(action_id, lambda: stop(house(), action_id, viewer(), shown=shown))
