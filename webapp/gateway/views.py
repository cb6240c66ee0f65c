"""`/mcp/<server>`: the only address that agents call. No cookie is read here, so there is nothing another site could ride on."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import HTTPException

from vault.errors import KeeperError
from webapp.errors import CountersealError
from webapp.gateway import serving
from webapp.gateway.room import Room
from webapp.gateway.wire import INTERNAL_ERROR, INVALID_REQUEST, RpcError, as_rpc_error
from webapp.web.guards import machine

log = logging.getLogger("counterseal.gateway")

blueprint = Blueprint("gateway", __name__)


def _room() -> Room:
    found: Room = current_app.extensions["gateway"]
    return found


@blueprint.post("/mcp/<server>")
@machine
def call(server: str) -> Response:
    return serving.post(_room(), server, request)


@blueprint.get("/mcp/<server>")
@machine
def listen(server: str) -> Response:
    return serving.get(_room(), server, request)


@blueprint.delete("/mcp/<server>")
@machine
def end(server: str) -> Response:
    return serving.delete(_room(), server, request)


@blueprint.errorhandler(RpcError)
def refused(error: RpcError) -> Response:
    return serving.refusal(error, None)


@blueprint.errorhandler(CountersealError)
@blueprint.errorhandler(KeeperError)
def known(error: CountersealError | KeeperError) -> Response:
    log.info("%s: %s (%s)", error.code, error.hint, error.detail)
    return serving.refusal(as_rpc_error(error), None)


@blueprint.errorhandler(HTTPException)
def http(error: HTTPException) -> Response:
    return serving.refusal(RpcError(INVALID_REQUEST, error.description or "", status=error.code or 400), None)


@blueprint.errorhandler(Exception)
def unknown(error: Exception) -> Response:
    """Nothing of the error is told."""
    log.exception("unexpected error on %s", request.endpoint, exc_info=error)
    return serving.refusal(RpcError(INTERNAL_ERROR, "Something went wrong here. It was written to the log.", status=500), None)
