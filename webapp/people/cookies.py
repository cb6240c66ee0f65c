"""The cookies of this room: their names and how they are set. All are HttpOnly, `SameSite=Lax`, and `__Host-` on TLS."""

from __future__ import annotations

from flask import Request, Response

from vault.secret import Secret
from webapp.config import Settings

SESSION = "counterseal_session"
ATTEMPT = "counterseal_sign_in"
FORM = "counterseal_form"


def name(settings: Settings, base: str) -> str:
    """`__Host-` makes the browser refuse the cookie from a sibling domain or over plain HTTP (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-{base}" if settings.secure else base


def read(request: Request, settings: Settings, base: str) -> Secret[str]:
    """The cookie's value, or an empty secret."""
    return Secret(request.cookies.get(name(settings, base), ""))


def give_session(response: Response, settings: Settings, value: Secret[str]) -> None:
    """A session cookie without an age: it ends with the browser, or when its row says so, whichever is first."""
    _set(response, settings, SESSION, value, None)


def give_attempt(response: Response, settings: Settings, value: Secret[str]) -> None:
    _set(response, settings, ATTEMPT, value, settings.people.attempt_lifetime)


def drop(response: Response, settings: Settings, base: str) -> None:
    response.delete_cookie(name(settings, base), path="/", secure=settings.secure, httponly=True, samesite="Lax")


def _set(response: Response, settings: Settings, base: str, value: Secret[str], max_age: int | None) -> None:
    response.set_cookie(
        name(settings, base), value.reveal(), max_age=max_age, path="/", secure=settings.secure, httponly=True, samesite="Lax"
    )
