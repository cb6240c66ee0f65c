"""htmx 4 beside htmx-flask 0.1, which reads htmx 2's headers."""

from __future__ import annotations

from flask import Flask, Request, Response, request


class HtmxRequest(Request):
    """`partial` is true when htmx asks for a part of the page rather than a full navigation or a history restore."""

    @property
    def partial(self) -> bool:
        return (
            self.headers.get("HX-Request") == "true"
            and self.headers.get("HX-Boosted") != "true"
            and self.headers.get("HX-History-Restore-Request") != "true"
        )


def is_partial() -> bool:
    return isinstance(request, HtmxRequest | object) and bool(getattr(request, "partial", False))


def register(app: Flask) -> None:
    app.request_class = HtmxRequest

    @app.after_request
    def vary(response: Response) -> Response:
        """Else a cache could answer a full page with a part."""
        response.vary.add("HX-Request")
        return response
