"""Coarse limits on what anyone may ask for without having signed in, counted in each process (Flask-Limiter).

What has to be exact (codes, registrations, held actions) is counted in the database, by the room it belongs to.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from flask_limiter import Limiter

from webapp.clients.rules import source_of
from webapp.config import Settings

SIGN_IN = "people.start"
LOGOUT = "people.backchannel_logout"
REGISTER = "oauth.oauth_endpoints.register"


def register(app: Flask, settings: Settings) -> None:
    """Call it when all views are there. A view that is gone is an error at start: a limit must not vanish by a rename."""
    limiter = Limiter(lambda: source_of(request.remote_addr), app=app, storage_uri="memory://", strategy="moving-window")
    limits = {
        SIGN_IN: (f"{settings.web.sign_ins_per_minute} per minute", "Too many sign-ins were begun from here. Wait a minute."),
        LOGOUT: (f"{settings.web.logout_tokens_per_minute} per minute", "Too many logout tokens from here. Wait a minute."),
        REGISTER: (f"{3 * settings.oauth.registrations_per_source} per minute", "Too many registrations. Try again in a minute."),
    }
    for endpoint, (amount, words) in limits.items():
        limited: Any = limiter.limit(amount, error_message=words)(app.view_functions[endpoint])
        app.view_functions[endpoint] = limited
