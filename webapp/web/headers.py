"""Response headers that keep a page to itself. No inline script or style, no framing, no referrer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import Flask, Response, g

HSTS = "max-age=63072000; includeSubDomains"
ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?", re.ASCII)


def allow_form_action(origin: str) -> None:
    """CSP's `form-action` also blocks the redirect after a form: the consent and connect pages add exactly the origin that they
    validated, for this response.

    Attack: an issuer whose metadata names an address with `;` and a blank in its host would write directives of its own into
    the policy. What is no origin is not added: the form then leads nowhere."""
    if ORIGIN.fullmatch(origin) is None:
        return
    g.form_action = (*g.get("form_action", ()), origin)


def fixed(*, secure: bool) -> dict[str, str]:
    """What every answer of ours carries; pages add to `form-action`, and say whether they may be kept."""
    found = {
        "Content-Security-Policy": policy(()), "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    }
    return {**found, "Strict-Transport-Security": HSTS} if secure else found


def policy(form_action: Iterable[str]) -> str:
    forms = " ".join(("'self'", *form_action))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {forms}"
    )


def register(app: Flask, *, secure: bool) -> None:
    same = fixed(secure=secure)

    @app.after_request
    def protect(response: Response) -> Response:
        headers = response.headers
        for name, value in same.items():
            headers[name] = value
        headers["Content-Security-Policy"] = policy(g.get("form_action", ()))
        headers.setdefault("Cache-Control", "no-store")
        return response
