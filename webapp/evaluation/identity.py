"""The bundled identity provider: `oidc-provider-mock` behind a guard.

Anyone who reaches the mock may tell it to be anybody, may write its users, and gets a debugger with a console. So nothing reaches
it but five endpoints; a login needs a hint that our web process signed with the secret of the run, for one person, once, within a
minute; and codes go to one redirect URI and are redeemed by one client.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from vault.secret import Secret
from webapp.errors import Forbidden
from webapp.evaluation import signed
from webapp.evaluation.persons import PERSONS, by_subject
from webapp.evaluation.run import Run

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("counterseal.identity")

CLIENT_ID = "counterseal"
HINT = "login hint"
HINT_LIFETIME = 60
OPEN = {
    ("GET", "/.well-known/openid-configuration"), ("GET", "/jwks"), ("GET", "/userinfo"),
    ("GET", "/oauth2/authorize"), ("POST", "/oauth2/token"),
}
FORM_BYTES = 16_384


def login_hint(run: Run, subject: str, now: float) -> str:
    """A hint that signs this person in, once, within a minute. Only the web process asks for it, after the entrance."""
    return signed.seal(run.key(HINT), HINT, {"sub": subject}, now=now, lifetime=HINT_LIFETIME)


def client_secret(run: Run) -> Secret[str]:
    return run.password("identity client")


def _mock() -> Any:
    """The mock's app, without its debugger: `init_app` wraps it in one, whose console runs what it is sent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import flask
        from oidc_provider_mock import User, init_app

        app = flask.Flask("identity")
        users = [User(sub=p.subject, claims={"name": p.name, "email": p.email, "email_verified": True}) for p in PERSONS]
        init_app(app, require_nonce=True, issue_refresh_token=False, user_claims=users)
    app.debug = False
    debugged: Any = app.wsgi_app
    setattr(app, "wsgi_app", debugged.app)  # noqa: B010 a method in Flask's types
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


class Once:
    """Ids that were spent, remembered for as long as they could be valid."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._lock = threading.Lock()

    def spend(self, name: str, until: float, now: float) -> bool:
        """Whether nobody spent it before."""
        with self._lock:
            self._spent = {key: end for key, end in self._spent.items() if end > now}
            if name in self._spent:
                return False
            self._spent[name] = until
            return True


class Identity:
    """The guard, as a WSGI app."""

    def __init__(self, run: Run, *, clock: Callable[[], float] = time.time) -> None:
        self._run, self._clock = run, clock
        self._mock: WSGIApplication = _mock()
        self._once = Once()
        self._netloc = urlsplit(run.identity).netloc

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST") != self._netloc:
            return _refuse(start_response, "421 Misdirected Request", "This is not the address of this identity provider.")
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if (method, path) not in OPEN:
            return _refuse(start_response, "404 Not Found", "There is nothing here.")
        if path == "/oauth2/authorize":
            return self._authorize(environ, start_response)
        if path == "/oauth2/token" and not self._from_our_client(environ):
            return _refuse(start_response, "401 Unauthorized", "Unknown client.")
        return self._mock(environ, start_response)

    def _authorize(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Who comes without a hint is sent to where people are chosen; a hint that does not hold signs nobody in."""
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        if any(len(values) != 1 for values in query.values()):
            return _refuse(start_response, "400 Bad Request", "A parameter was given twice.")
        if query.get("client_id") != [CLIENT_ID] or query.get("redirect_uri") != [self._run.redirect_uri]:
            return _refuse(start_response, "400 Bad Request", "Unknown client or redirect URI.")
        hint = query.get("login_hint", [""])[0]
        if not hint:
            start_response("303 See Other", [("Location", f"{self._run.public_url}/evaluation/people"), ("Content-Length", "0")])
            return [b""]
        try:
            subject = self._subject(hint)
        except Forbidden as error:
            log.warning("a login hint was refused: %s", error.code)
            return _refuse(start_response, "403 Forbidden", error.hint)
        return self._mock(_as_login(environ, subject), start_response)

    def _subject(self, hint: str) -> str:
        now = self._clock()
        body = signed.unseal(self._run.key(HINT), HINT, hint, now=now)
        if not self._once.spend(body["id"], body["exp"], now):
            raise Forbidden("This sign-in was used already. Start again.", code="used")
        person = by_subject(str(body["sub"]))
        if person is None:
            raise Forbidden("There is no such person here.", code="no_person")
        return person.subject

    def _from_our_client(self, environ: WSGIEnvironment) -> bool:
        """The mock takes any client id with any secret (RFC 6749 section 2.3.1 asks for both)."""
        raw = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), FORM_BYTES))
        environ["wsgi.input"] = BytesIO(raw)
        client_id, secret = _basic(environ.get("HTTP_AUTHORIZATION", "")) or _posted(raw)
        known = hmac.compare_digest(client_id.encode(), CLIENT_ID.encode())
        return hmac.compare_digest(secret.encode(), client_secret(self._run).reveal().encode()) and known


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(client_id), unquote_plus(secret)


def _posted(raw: bytes) -> tuple[str, str]:
    form = dict(parse_qsl(raw.decode("utf-8", "replace")))
    return form.get("client_id", ""), form.get("client_secret", "")


def _as_login(environ: WSGIEnvironment, subject: str) -> WSGIEnvironment:
    """The mock's own login form, filled in for this person."""
    form = urlencode({"sub": subject}).encode()
    query = [(name, value) for name, value in parse_qsl(environ.get("QUERY_STRING", "")) if name != "login_hint"]
    return {
        **environ, "REQUEST_METHOD": "POST", "QUERY_STRING": urlencode(query), "CONTENT_LENGTH": str(len(form)),
        "CONTENT_TYPE": "application/x-www-form-urlencoded", "wsgi.input": BytesIO(form),
    }


def _refuse(start_response: StartResponse, status: str, hint: str) -> Iterable[bytes]:
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{status}</title>"
        f"<meta name=viewport content='width=device-width'><h1>{hint}</h1><p>Go back to Counterseal and sign in again."
    ).encode()
    start_response(status, [
        ("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ])
    return [body]
