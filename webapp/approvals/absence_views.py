"""What people do about an action without deciding it: say that they are on it. And what its page says about people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from webapp.approvals import absence, claims, extending, shortage
from webapp.approvals.absence import Absence
from webapp.approvals.showing import Shown
from webapp.approvals.views import attempt
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("absence", __name__)


@blueprint.app_context_processor
def offered() -> dict[str, Callable[..., Any]]:
    """`absence(shown)` for the page of one action, `stuck_actions()` for an admin's start page."""

    def of(shown: Shown) -> Absence:
        return absence.of(house(), shown.opened, viewer())

    def stuck() -> Any:
        with house().database.read() as session:
            return shortage.stuck(session, viewer(), house().clock())

    return {"absence": of, "stuck_actions": stuck}


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
