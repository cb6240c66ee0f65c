"""htmx 4 beside htmx-flask 0.1, which reads htmx 2's headers: the one place that knows the difference."""

from __future__ import annotations

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


def register(app: Flask) -> None:
    Htmx(app)
    app.request_class = HtmxRequest

    @app.after_request
    def vary(response: Response) -> Response:
        """Else a cache could answer a full page with a part."""
        response.vary.add("HX-Request")
        return response
