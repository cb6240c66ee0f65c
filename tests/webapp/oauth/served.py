"""What gunicorn serves for the SDK tests: the authorization server, and at `/mcp/<server>` the smallest MCP server that asks for
a token and says who it speaks for. `X-Test-Person` stands in for a sign-in, as in the other tests of this folder."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from tests.webapp.oauth.conftest import guarded
from webapp.composition import folder
from webapp.config import Settings
from webapp.oauth import metadata, rfc6750, tokens
from webapp.oauth.tokens import InvalidToken
from webapp.oauth.views import blueprint
from webapp.web import faults, guards, headers, htmx, languages, show, words
from webapp.web.house import house, make_house


def make() -> Flask:
    app = Flask("webapp", template_folder=folder("templates"), static_folder=folder("static"))
    app.extensions["counterseal"] = make_house(Settings())
    htmx.register(app)
    headers.register(app, secure=False)
    faults.register(app)
    show.register(app, evaluation=False)
    languages.register(app, [])
    words.register(app)
    guarded(app)
    app.register_blueprint(blueprint)
    app.add_url_rule("/mcp/<name>", view_func=guards.machine(mcp), methods=["GET", "POST", "DELETE"])
    return app


def mcp(name: str) -> Any:
    settings = house().settings
    try:
        raw = rfc6750.token_of(request.headers.get("Authorization"))
        if raw is None:
            return "", 401, {"WWW-Authenticate": rfc6750.challenge(settings, name)}
        with house().database.read() as session:
            caller = tokens.authenticate(session, raw, metadata.resource(settings, name), house().clock())
    except InvalidToken as error:
        return "", 401, {"WWW-Authenticate": rfc6750.challenge(settings, name, error)}
    if request.method != "POST":
        return "", 405
    asked = request.get_json()
    if "id" not in asked:
        return Response(status=202)
    return jsonify(jsonrpc="2.0", id=asked["id"], result={
        "protocolVersion": "2025-11-25", "capabilities": {},
        "serverInfo": {"name": f"{name} for {caller.person_name} by {caller.client_name}", "version": "1"},
    })
