"""The protocol's endpoints: for programs. They read no cookie, and no parameter from the address."""

from __future__ import annotations

from collections.abc import Callable

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.datastructures import MultiDict

from webapp.clients.registration import seconds_left
from webapp.clients.rules import source_of
from webapp.errors import OAUTH, LimitReached, Missing, look_up
from webapp.oauth import metadata, openapi, pace, renewal, rfc6750, rfc8414, rfc9728
from webapp.oauth.rfc7591 import Registration
from webapp.oauth.server import Parameters, Request, Server
from webapp.oauth.tokens import InvalidToken
from webapp.web import guards, peer
from webapp.web.house import house

blueprint = Blueprint("oauth_endpoints", __name__)
PKCS10 = "application/pkcs10"


def server() -> Server:
    """The authorization server of the app that serves this request."""
    found: Server = current_app.extensions["oauth"]
    return found


@blueprint.before_app_request
def refuse_tokens_in_addresses() -> Response | None:
    """On every route of the app."""
    try:
        rfc6750.refuse_in_query(request.args.items(multi=True))
    except InvalidToken as error:
        return _plain(400, error.code, error.hint)
    return None


@blueprint.get(f"{metadata.PROTECTED_RESOURCE}/mcp/<name>")
@guards.machine
def protected_resource(name: str) -> Response:
    with house().database.read() as session:
        offer = server().offer(session, name)
    if offer is None:
        raise Missing("There is no such server here.")
    return jsonify(rfc9728.document(house().settings, offer))


@blueprint.get(metadata.AUTHORIZATION_SERVER)
@guards.machine
def authorization_server() -> Response:
    return jsonify(rfc8414.document(house().settings))


@blueprint.get(metadata.OPENAPI)
@guards.machine
def description() -> Response:
    return jsonify(openapi.document(house().settings))


@blueprint.post(metadata.TOKEN)
@guards.machine
def token() -> Response:
    return _answer(metadata.TOKEN, server().create_token_response)


@blueprint.post(metadata.REVOKE)
@guards.machine
def revoke() -> Response:
    return _answer(metadata.REVOKE, lambda asked: server().create_endpoint_response("revocation", asked))


@blueprint.post(metadata.INTROSPECT)
@guards.machine
def introspect() -> Response:
    return _answer(metadata.INTROSPECT, lambda asked: server().create_endpoint_response("introspection", asked))


@blueprint.post(metadata.REGISTER)
@guards.machine
def register() -> Response:
    if request.mimetype != "application/json":
        return _plain(400, "invalid_client_metadata", "Send the client's metadata as application/json.")
    asked = Registration(request.get_data(cache=False), source_of(request.remote_addr))
    try:
        response: Response = server().create_endpoint_response("client_registration", asked)
    except LimitReached as error:
        response = _plain(429, error.code, error.hint)
        response.headers["Retry-After"] = "3600"
    return response


@blueprint.post(metadata.CERTIFICATE)
@guards.machine
def certificate() -> Response:
    """Renewal by the certificate itself."""
    if request.mimetype not in (PKCS10, "application/x-pem-file", "text/plain"):
        return _plain(400, "invalid_request", f"Send the certificate request as {PKCS10}.")
    try:
        given = renewal.renew(house(), _asked(metadata.CERTIFICATE, MultiDict()), request.get_data(cache=False))
    except OAuth2Error as error:
        return server().handle_error_response(None, error)
    except LimitReached as error:
        return _later(error, seconds_left(house().clock()))
    return Response(given.pem, content_type="application/pem-certificate-chain", headers={"Cache-Control": "no-store"})


def _asked(path: str, parameters: Parameters) -> Request:
    return server().request("POST", path, parameters, dict(request.headers), peer.certificate(request.environ))


def _answer(path: str, endpoint: Callable[[Request], Response]) -> Response:
    """RFC 6749 section 3.2: parameters come in a form body; what stands in the address does not count."""
    try:
        return endpoint(_asked(path, request.form))
    except OAuth2Error as error:
        return server().handle_error_response(None, error)
    except LimitReached as error:
        return _later(error, pace.SECONDS)


def _later(error: LimitReached, seconds: int) -> Response:
    """RFC 6585 section 4."""
    response = _plain(429, look_up(OAUTH, error, error.code), error.hint)
    response.headers["Retry-After"] = str(seconds)
    return response


def _plain(status: int, code: str, hint: str) -> Response:
    response = jsonify(error=code, error_description=hint)
    response.status_code = status
    return response
