"""`POST /mcp/<server>` by the shortest way: what a page's request passes on its way to its view is not for a machine's call.

Flask opens a session, asks every room's hooks and counts limits for each request; a call reads no cookie, has no form and is
counted in the database, and those steps cost it as much as its answer. Only a request that the guard would let in unasked comes
this way: our own host, a plain name, the cookies' key known. Anything else is the app's, and answered there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from flask import Flask, Request, Response
from werkzeug.exceptions import HTTPException

from vault.errors import KeeperError
from webapp.errors import CountersealError
from webapp.gateway import serving
from webapp.gateway.room import Room
from webapp.gateway.wire import INTERNAL_ERROR, INVALID_REQUEST, RpcError, as_rpc_error
from webapp.oauth.metadata import NAME
from webapp.people.rules import same_host
from webapp.web import headers
from webapp.web.proxies import TRACES

log = logging.getLogger("counterseal.gateway")

PREFIX = "/mcp/"
HANDED_ON = frozenset(f"HTTP_{name.upper().replace('-', '_')}" for name in TRACES)


class Front:
    """WSGI middleware, nearest to the app: what names a caller's address (`webapp.web.proxies`) stands before it."""

    def __init__(self, app: Flask, room: Room) -> None:
        settings = room.house.settings
        self._app, self._wsgi, self._room = app, app.wsgi_app, room
        self._hosts = (settings.netloc, settings.public_url.partition(":")[0])
        self._headers = list(headers.fixed(secure=settings.secure).items())
        self._largest = settings.gateway.request_bytes
        self._refused = HANDED_ON if settings.evaluation else frozenset()
        """An evaluation instance answers behind no proxy: the app says so."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") != "POST" or not path.startswith(PREFIX) or not self._plain(environ, path):
            return self._wsgi(environ, start_response)
        request = Request(environ)
        request.max_content_length = self._largest
        response = answered(self._room, path.removeprefix(PREFIX), request)
        response.headers.extend(self._headers)
        response.headers.setdefault("Cache-Control", "no-store")
        return response(environ, start_response)

    def _plain(self, environ: dict[str, Any], path: str) -> bool:
        return (
            self._app.secret_key is not None and NAME.fullmatch(path.removeprefix(PREFIX)) is not None
            and same_host(environ.get("HTTP_HOST", ""), *self._hosts) and self._refused.isdisjoint(environ)
        )


def answered(room: Room, server: str, request: Request) -> Response:
    """As the view and its error handlers would. Nothing of an error that nobody expected is told."""
    try:
        return serving.post(room, server, request)
    except RpcError as error:
        return serving.refusal(error, None)
    except (CountersealError, KeeperError) as error:
        log.info("%s: %s (%s)", error.code, error.hint, error.detail)
        return serving.refusal(as_rpc_error(error), None)
    except HTTPException as error:
        return serving.refusal(RpcError(INVALID_REQUEST, error.description or "", status=error.code or 400), None)
    except Exception as error:
        log.exception("unexpected error on a call", exc_info=error)
        hint = "Something went wrong here. It was written to the log."
        return serving.refusal(RpcError(INTERNAL_ERROR, hint, status=500), None)
