"""The bank's consent page: the customer sees who asks for what, for which account, and allows it or does not."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import Forbidden
from webapp.evaluation import signed
from webapp.evaluation.bank import oauth
from webapp.evaluation.bank.desk import bank

blueprint = Blueprint("consent", __name__)
COOKIE = "harbour_visit"
PURPOSE = "harbour consent"
LIFETIME = 900
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def _back(uri: str, **answer: str) -> AnyResponse:
    """To the client; the response names its issuer (RFC 9207)."""
    joined = urlencode({**{key: value for key, value in answer.items() if value}, "iss": bank().issuer})
    return redirect(f"{uri}{'&' if urlsplit(uri).query else '?'}{joined}", 303)


def _problem(args: Any) -> oauth.Problem | None:
    if args.get("response_type") != "code":
        return oauth.Problem("unsupported_response_type", "only code")
    if args.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(args.get("code_challenge", "")):
        return oauth.Problem("invalid_request", "PKCE with S256 is required")
    scopes = args.get("scope", "").split()
    if not scopes or not set(scopes) <= set(oauth.SCOPES):
        return oauth.Problem("invalid_scope", "unknown or missing scope")
    return None


def _visit() -> str:
    return request.cookies.get(COOKIE) or secrets.token_urlsafe(24)


def _bound(visit: str) -> str:
    return hashlib.sha256(visit.encode()).hexdigest()


@blueprint.get("/oauth/authorize")
def ask() -> AnyResponse:
    """An unknown client or redirect URI is never redirected to (RFC 6749 section 4.1.2.1)."""
    args, client = request.args, bank().client
    redirect_uri = args.get("redirect_uri", "")
    if args.get("client_id") != client.id or redirect_uri not in client.redirect_uris:
        return make_response(render_template("refused.html"), 400)
    if problem := _problem(args):
        return _back(redirect_uri, error=problem.error, error_description=problem.description, state=args.get("state", ""))
    visit = _visit()
    kept = {name: args.get(name, "") for name in ("redirect_uri", "scope", "state", "code_challenge")}
    ticket = signed.seal(bank().key, PURPOSE, {**kept, "visit": _bound(visit)}, now=bank().clock(), lifetime=LIFETIME)
    with bank().store.transaction() as work:
        accounts = work.execute("SELECT * FROM accounts ORDER BY id").fetchall()
    g.form_action = (_origin(redirect_uri),)
    page = make_response(render_template("consent.html", client=client, host=urlsplit(redirect_uri).netloc, ticket=ticket,
                                         accounts=accounts, scopes=[oauth.SCOPES[name] for name in kept["scope"].split()]))
    page.set_cookie(COOKIE, visit, max_age=LIFETIME, httponly=True, samesite="Lax", path="/oauth")
    return page


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@blueprint.post("/oauth/authorize")
def decide() -> AnyResponse:
    """The ticket holds the request as it was checked and shown; it is bound to this browser's visit (CSRF)."""
    form = request.form
    kept = signed.unseal(bank().key, PURPOSE, form.get("ticket", ""), now=bank().clock())
    if kept["visit"] != _bound(_visit()):
        abort(403)
    if form.get("answer") != "allow":
        return _back(kept["redirect_uri"], error="access_denied", error_description="You did not allow it.", state=kept["state"])
    with bank().store.transaction() as work:
        if work.execute("SELECT 1 FROM accounts WHERE id = ?", (form.get("account"),)).fetchone() is None:
            abort(400)
        code = oauth.grant(
            work, account=form["account"], client=bank().client.id, scopes=kept["scope"].split(),
            redirect_uri=kept["redirect_uri"], challenge=kept["code_challenge"], now=bank().clock(),
        )
    return _back(kept["redirect_uri"], code=code, state=kept["state"])


@blueprint.errorhandler(Forbidden)
def too_late(error: Forbidden) -> Response:
    return make_response(render_template("refused.html", hint=error.hint), 403)
