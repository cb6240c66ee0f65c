"""Where the identity provider says that somebody signed out there."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from vault.errors import BadRequest, NotKnown, ProviderRefused
from vault.secret import Secret
from webapp.errors import Conflict
from webapp.people import backchannel
from webapp.web.guards import machine
from webapp.web.house import house

NO_STORE = {"Cache-Control": "no-store"}


@machine
def backchannel_logout() -> ResponseReturnValue:
    """Section 2.8: 200 where they are signed out, 400 for a token that is not taken."""
    try:
        backchannel.log_out(house(), Secret(request.form.get("logout_token", "")))
    except (BadRequest, Conflict, NotKnown, ProviderRefused) as refusal:
        return {"error": "invalid_request", "error_description": refusal.hint}, 400, NO_STORE
    return "", 200, NO_STORE
