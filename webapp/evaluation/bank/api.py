"""The ledger API: what a bearer of an access token may see and do with the one account that it was granted."""

from __future__ import annotations

import sqlite3
from typing import Any

from flask import Blueprint, Response, jsonify, request

from webapp.evaluation.bank import ledger, oauth
from webapp.evaluation.bank.desk import bank

blueprint = Blueprint("api", __name__, url_prefix="/api")
KEY_LENGTH = 128


def _bearer(work: sqlite3.Connection, scope: str) -> oauth.Bearer:
    """RFC 6750 section 3.1. Raises Refused."""
    sent = request.authorization
    token = sent.token if sent is not None and sent.type == "bearer" else None
    found = oauth.bearer(work, token, bank().clock()) if token else None
    if found is None:
        raise ledger.Refused("invalid_token", "The access token is missing, unknown, expired or revoked.", 401)
    if scope not in found.scopes:
        raise ledger.Refused("insufficient_scope", f"This needs the scope {scope}.", 403)
    return found


@blueprint.errorhandler(ledger.Refused)
def refused(error: ledger.Refused) -> Response:
    response = jsonify(error=error.code, message=error.message)
    response.status_code = error.status
    if error.status in (401, 403):
        response.headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    return response


@blueprint.get("/customer")
def customer() -> dict[str, Any]:
    """Who connected: the account's own id, and what its owner recognises."""
    with bank().store.transaction() as work:
        account = _bearer(work, "accounts:read").account
        row = work.execute("SELECT * FROM accounts WHERE id = ?", (account,)).fetchone()
    return {"sub": row["id"], "name": f"{row['name']} ··{row['iban'][-4:]}", "holder": row["holder"], "currency": row["currency"]}


@blueprint.get("/balance")
def balance() -> dict[str, Any]:
    with bank().store.transaction() as work:
        return ledger.balance(work, _bearer(work, "accounts:read").account)


@blueprint.get("/payees")
def payees() -> dict[str, Any]:
    with bank().store.transaction() as work:
        return {"payees": ledger.payees(work, _bearer(work, "payees:read").account)}


@blueprint.post("/payments")
def pay() -> Response:
    key = request.headers.get("Idempotency-Key") or None
    with bank().store.transaction() as work:
        account = _bearer(work, "payments:send").account
        if key is not None and len(key) > KEY_LENGTH:
            raise ledger.Refused("bad_key", f"An idempotency key has at most {KEY_LENGTH} characters.", 400)
        order = ledger.read_order(request.get_json(silent=True))
        response = jsonify(ledger.pay(work, account, order, key=key, now=bank().clock()))
    response.status_code = 201
    return response
