"""htmx 4 beside htmx-flask 0.1, which reads htmx 2's headers: the one place that knows the difference."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request
from htmx_flask import Htmx
from htmx_flask.requests import HtmxAwareRequest


class HtmxRequest(HtmxAwareRequest):  # type: ignore[misc]
    """htmx 4 says in `HX-Request-Type` whether it wants a `partial` or a `full` page; htmx 2 said neither."""

    @property
    def partial(self) -> bool:
        return bool(self.htmx) and self.headers.get("HX-Request-Type") == "partial" and not self.htmx.boosted


def is_partial() -> bool:
    """Whether htmx asks for a part of the page rather than for all of it."""
    return bool(getattr(request, "partial", False))


def load_again(response: Response, address: str) -> None:
    """Have the browser load the page at this path anew. One that answered a form is asked for by its path: what loads that again
    sends the form a second time."""
    current = urlsplit(request.headers.get("HX-Current-URL", "")).path
    if current in ("", address):
        response.headers["HX-Refresh"] = "true"
    else:
        response.headers["HX-Redirect"] = address


def register(app: Flask) -> None:
    Htmx(app)
    app.request_class = HtmxRequest

    @app.after_request
    def vary(response: Response) -> Response:
        """Else a cache could answer a full page with a part."""
        response.vary.add("HX-Request")
        return response
