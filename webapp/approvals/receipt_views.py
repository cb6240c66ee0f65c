"""Taking an action's receipt along."""

from __future__ import annotations

from flask import Blueprint, Response, request

from webapp.approvals.receipts import receipt
from webapp.errors import BadInput
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("receipts", __name__)


@blueprint.get("/actions/<action_id>/receipt")
@person
def taken(action_id: str) -> Response:
    asked = request.args.get("arguments", "yes")
    if asked not in ("yes", "no"):
        raise BadInput("A receipt is with the call's arguments (arguments=yes) or without (arguments=no).")
    body = receipt(house(), action_id, viewer(), arguments=asked == "yes")
    name = f'attachment; filename="receipt-{action_id}.json"'
    return Response(body, content_type="application/json", headers={"Content-Disposition": name, "Cache-Control": "no-store"})
