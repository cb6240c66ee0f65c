"""Response headers that keep a page to itself. No inline script or style, no framing, no referrer."""

from __future__ import annotations

from flask import Flask, Response, g

HSTS = "max-age=63072000; includeSubDomains"


def allow_form_action(origin: str) -> None:
    """CSP's `form-action` also blocks the redirect after a form: the consent and connect pages add exactly the origin that they
    validated, for this response."""
    g.form_action = (*g.get("form_action", ()), origin)


def _policy() -> str:
    forms = " ".join(("'self'", *g.get("form_action", ())))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {forms}"
    )


def register(app: Flask, *, secure: bool) -> None:
    @app.after_request
    def protect(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = _policy()
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
        headers.setdefault("Cache-Control", "no-store")
        if secure:
            headers["Strict-Transport-Security"] = HSTS
        return response
