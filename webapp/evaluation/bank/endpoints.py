"""The token and revocation endpoints (RFC 6749 sections 3.2 and 6, RFC 7009)."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, Response, jsonify, request

from webapp.evaluation.bank import oauth
from webapp.evaluation.bank.desk import bank

blueprint = Blueprint("endpoints", __name__)


def _answer(status: int, **document: object) -> Response:
    response = jsonify(document)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def _client() -> oauth.Client | None:
    """HTTP Basic or the form (RFC 6749 section 2.3.1); one client, one secret."""
    sent = request.authorization
    if sent is not None and sent.type == "basic":
        client_id, secret = sent.username or "", sent.password or ""
    else:
        client_id, secret = request.form.get("client_id", ""), request.form.get("client_secret", "")
    return bank().client if bank().client.proves(client_id, secret) else None


def _granted(work: sqlite3.Connection, client: oauth.Client) -> oauth.Tokens | oauth.Problem:
    form, now = request.form, bank().clock()
    if form.get("grant_type") == "authorization_code":
        return oauth.redeem(work, client=client.id, code=form.get("code", ""), redirect_uri=form.get("redirect_uri", ""),
                            verifier=form.get("code_verifier", ""), now=now)
    if form.get("grant_type") == "refresh_token":
        wanted = tuple(form.get("scope", "").split()) or None
        return oauth.refresh(work, client=client.id, token=form.get("refresh_token", ""), scopes=wanted, now=now)
    return oauth.Problem("unsupported_grant_type", "authorization_code or refresh_token")


@blueprint.post("/oauth/token")
def token() -> Response:
    client = _client()
    if client is None:
        return _answer(401, error="invalid_client", error_description="Unknown client or wrong secret.")
    with bank().store.transaction() as work:
        result = _granted(work, client)
    if isinstance(result, oauth.Problem):
        return _answer(400, error=result.error, error_description=result.description)
    bearer = "Bearer"
    return _answer(200, access_token=result.access, token_type=bearer, expires_in=oauth.ACCESS_LIFETIME,
                   refresh_token=result.refresh, scope=" ".join(result.scopes))


@blueprint.post("/oauth/revoke")
def revoke() -> Response:
    client = _client()
    if client is None:
        return _answer(401, error="invalid_client", error_description="Unknown client or wrong secret.")
    with bank().store.transaction() as work:
        oauth.revoke(work, client=client.id, token=request.form.get("token", ""), now=bank().clock())
    return Response(status=200)
