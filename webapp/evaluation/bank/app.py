"""The bank's web app: its consent page, its OAuth endpoints and its ledger API, on an address of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, render_template, request

from vault.secret import Secret
from webapp.evaluation.bank import api, consent, endpoints, ledger
from webapp.evaluation.bank.oauth import SCOPES, Client
from webapp.evaluation.bank.store import Store

HERE = Path(__file__).resolve().parents[2]


def folder(name: str) -> str:
    """`templates/` and `static/`: inside the package in a wheel, beside it in a checkout."""
    inside = HERE / name
    return str(inside if inside.is_dir() else HERE.parent / name)


class Bank:
    """What the bank's views need. `issuer` is its own address; `key` signs its forms; `clock` gives Unix seconds."""

    def __init__(
        self, store: Store, *, issuer: str, client: Client, key: Secret[bytes], clock: Callable[[], float] = time.time
    ) -> None:
        self.store, self.issuer, self.client, self.key, self.clock = store, issuer, client, key, clock


def make(bank: Bank) -> Flask:
    app = Flask("harbour", template_folder=folder("templates/evaluation/bank"), static_folder=folder("static"))
    app.config.update(MAX_CONTENT_LENGTH=64_000)
    app.extensions["bank"] = bank
    for blueprint in (consent.blueprint, endpoints.blueprint, api.blueprint):
        app.register_blueprint(blueprint)
    netloc = urlsplit(bank.issuer).netloc

    @app.before_request
    def own_address() -> None:
        """A page that was rebound to this address by DNS sends another Host."""
        if request.host != netloc:
            abort(421)

    @app.after_request
    def protect(response: Response) -> Response:
        forms = " ".join(("'self'", *g.get("form_action", ())))
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {forms}"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.get("/")
    def statement() -> str:
        with bank.store.transaction() as work:
            accounts = [dict(row) for row in work.execute("SELECT * FROM accounts ORDER BY id")]
            for account in accounts:
                account["balance"] = ledger.major(account["balance_minor"])
                account["payments"] = ledger.statement(work, account["id"])
        return render_template("statement.html", accounts=accounts)

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> dict[str, object]:
        """RFC 8414, and RFC 9207's flag: the authorization response names its issuer."""
        return {
            "issuer": bank.issuer,
            "authorization_endpoint": f"{bank.issuer}/oauth/authorize",
            "token_endpoint": f"{bank.issuer}/oauth/token",
            "revocation_endpoint": f"{bank.issuer}/oauth/revoke",
            "userinfo_endpoint": f"{bank.issuer}/api/customer",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }

    return app
