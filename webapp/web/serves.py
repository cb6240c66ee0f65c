"""`serve --only`: a process that leaves the pages, or the agents' calls, to others, so that no load of one reaches the other."""

from __future__ import annotations

from typing import Literal

from flask import Flask, current_app, request

from webapp.errors import Misdirected
from webapp.web.guards import guard_of

GATEWAY = "gateway"
BOTH = frozenset({"static", "health.healthz"})


def register(app: Flask, only: Literal["", "pages", "gateway"]) -> None:
    """Before anything else is asked of a request; with `only` empty nothing is."""
    if not only:
        return

    @app.before_request
    def elsewhere() -> None:
        endpoint = request.endpoint
        if endpoint is not None and not served(only, endpoint, guard_of(current_app.view_functions[endpoint])):
            raise Misdirected("This process does not serve that address. The proxy in front should send it to another one.")


def served(only: Literal["pages", "gateway"], endpoint: str, mark: str | None) -> bool:
    """Agents need the gateway and what else programs call: metadata, tokens. The pages' process has those too, and no calls."""
    if endpoint in BOTH:
        return True
    return not endpoint.startswith(f"{GATEWAY}.") if only == "pages" else mark == "machine"
