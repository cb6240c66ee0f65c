"""One HTTP request on `/mcp/<server>`: authenticated, read, understood in its era, and answered as JSON or as a stream."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from flask import Request, Response
from werkzeug.datastructures import Headers

from vault.errors import KeeperError
from webapp.errors import CountersealError
from webapp.gateway import authentication, calling, listing, tasks
from webapp.gateway.eras import Ask, complete, legacy, modern
from webapp.gateway.leaving import watch
from webapp.gateway.negotiation import LEGACY, MODERN
from webapp.gateway.room import Room
from webapp.gateway.wire import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PING,
    Id,
    Json,
    Message,
    Result,
    RpcError,
    Step,
    Tick,
    accepts,
    as_rpc_error,
    dump,
    event,
    failure,
    is_json,
    limits,
    progress,
    read,
    success,
)
from webapp.oauth.tokens import Caller

log = logging.getLogger("counterseal.gateway")

STREAM: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Method = Callable[[Room, Ask], Step]


def _discover(_room: Room, ask: Ask) -> Step:
    yield Result(modern.discover(ask))


def _ping(_room: Room, ask: Ask) -> Step:
    yield Result(complete(ask, {}))


METHODS: Final[Mapping[str, Mapping[str, Method]]] = {
    "modern": {
        "server/discover": _discover, "tools/list": listing.tools, "tools/call": calling.call,
        "tasks/get": tasks.get, "tasks/update": tasks.update, "tasks/cancel": tasks.cancel,
    },
    "legacy": {"ping": _ping, "tools/list": listing.tools, "tools/call": calling.call},
}


def post(room: Room, server: str, request: Request) -> Response:
    """Raises RpcError, or an error of the house, before anything of an answer was sent."""
    caller = authentication.enter(room.house, server, request)
    _negotiable(request)
    message = read(request.get_data(cache=False), limits(room.house.settings.gateway))
    try:
        return _answer(room, caller, server, message, request)
    except RpcError as error:
        return refusal(error, message.id, plain=not _is_modern(message, request.headers))
    except (CountersealError, KeeperError) as error:
        log.info("%s: %s (%s)", error.code, error.hint, error.detail)
        return refusal(as_rpc_error(error), message.id, plain=not _is_modern(message, request.headers))


def _negotiable(request: Request) -> None:
    if not is_json(request.headers.get("Content-Type", "")):
        raise RpcError(INVALID_REQUEST, "Content-Type must be application/json.", status=415)
    if not accepts(request.headers.get("Accept", "")):
        raise RpcError(INVALID_REQUEST, "Accept must list application/json and text/event-stream.", status=406)


def _is_modern(message: Message, headers: Headers) -> bool:
    """The header chooses; a body that carries a modern version without it is held to the modern rules, and fails them."""
    version = headers.get("MCP-Protocol-Version")
    return modern.VERSION_KEY in message.meta or (version is not None and version not in LEGACY)


def _answer(room: Room, caller: Caller, server: str, message: Message, request: Request) -> Response:
    if _is_modern(message, request.headers):
        if message.id is None:
            modern.check_version(request.headers.get("MCP-Protocol-Version", ""))
            return Response(status=202)
        return _render(room, modern.understand(caller, server, message, request.headers), request)
    if message.method == "initialize" and message.id is not None:
        result, session_id = legacy.initialize(room.house, caller, server, message)
        return _json(success(message.id, result), headers={legacy.HEADER: session_id})
    ask = legacy.understand(room.house, caller, server, message, request.headers)
    return Response(status=202) if message.id is None else _render(room, ask, request)


def _render(room: Room, ask: Ask, request: Request) -> Response:
    """JSON when the result comes first, a stream when something has to be waited for."""
    method = METHODS[ask.era].get(ask.message.method)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, "This method is not available through the gateway.")
    steps = method(room, replace(ask, gone=watch(request.environ)))
    first = next(steps)
    if isinstance(first, Result):
        body = dump(success(ask.message.id, first.body))
        return Response(_whole(body, first), content_type="application/json", headers={"Content-Length": str(len(body))})
    return Response(_stream(ask, first, steps), content_type="text/event-stream", headers=STREAM)


def _whole(body: bytes, result: Result) -> Iterator[bytes]:
    """The server asks for the next piece only after it has written this one."""
    yield body
    if result.written is not None:
        result.written()


def _stream(ask: Ask, first: Tick, steps: Step) -> Iterator[bytes]:
    """Closing this iterator closes `steps`, which then knows that the client has gone."""
    try:
        for step in itertools.chain([first], steps):
            if isinstance(step, Result):
                yield from _whole(event(success(ask.message.id, step.body)), step)
            else:
                yield PING if ask.token is None else event(progress(ask.token, step))
    except RpcError as error:
        yield event(failure(ask.message.id, error))
    except (CountersealError, KeeperError) as error:
        log.info("%s: %s (%s)", error.code, error.hint, error.detail)
        yield event(failure(ask.message.id, as_rpc_error(error)))
    except Exception:
        # The status line is out: the last thing this stream can say is that there will be no result.
        log.exception("unexpected error on an event stream")
        yield event(failure(ask.message.id, RpcError(INTERNAL_ERROR, "Something went wrong here. It was written to the log.")))
    finally:
        close = getattr(steps, "close", None)
        if close is not None:
            close()


def refusal(error: RpcError, message_id: Id | None, *, plain: bool = False) -> Response:
    """A JSON-RPC error as a whole response. `plain`: legacy clients read a method's error with status 200; what concerns HTTP,
    the token, the session or the house being out of service has its own status in both eras."""
    answered = plain and error.status < 500 and error.code not in (INVALID_REQUEST, authentication.UNAUTHORIZED)
    response = _json(failure(message_id, error), status=200 if answered else error.status)
    if isinstance(error, authentication.Challenge):
        response.headers["WWW-Authenticate"] = error.header
    if error.status == 503:
        response.headers["Retry-After"] = "5"
    return response


def _json(body: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(dump(body), status=status, content_type="application/json", headers=dict(headers or {}))


def delete(room: Room, server: str, request: Request) -> Response:
    """End a legacy session. Modern clients have none (2026-07-28, Earlier Streamable HTTP Revisions)."""
    caller = authentication.enter(room.house, server, request)
    if request.headers.get("MCP-Protocol-Version") == MODERN:
        return Response(status=405, headers={"Allow": "POST"})
    legacy.end(room.house, caller, server, request.headers)
    return Response(status=204)


def get(room: Room, server: str, request: Request) -> Response:
    """Nothing is ever sent unasked, so there is no stream to listen to (2025-11-25, Transports: then 405)."""
    authentication.enter(room.house, server, request)
    return Response(status=405, headers={"Allow": "POST, DELETE"})
