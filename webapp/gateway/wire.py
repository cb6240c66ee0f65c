"""JSON-RPC 2.0 in and out: one message a POST, read strictly, answered as JSON or as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vault.errors import KeeperError
from webapp.canonical import Limits, parse
from webapp.config import Gateway
from webapp.errors import HTTP, JSONRPC, BadInput, CountersealError, look_up

__all__ = [
    "HEADER_MISMATCH", "INTERNAL_ERROR", "INVALID_PARAMS", "INVALID_REQUEST", "METHOD_NOT_FOUND", "MISSING_CAPABILITY",
    "PARSE_ERROR", "PING", "UNSUPPORTED_VERSION", "URL_ELICITATION_REQUIRED", "Message", "Result", "RpcError", "Step", "Tick",
    "accepts", "as_rpc_error", "dump", "event", "failure", "is_json", "limits", "progress", "read", "success",
]

# JSON-RPC 2.0 section 5.1, and MCP 2026-07-28's own. Written out here: the package that names them builds 400 models when it is
# imported, which is a third of this process's start. A test compares them with it.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
URL_ELICITATION_REQUIRED: Final = -32042

Id = int | str
Json = dict[str, Any]

# Streamable HTTP, 2026-07-28: header mismatch, version, capability and malformed requests are 400, an unknown method is 404.
STATUS: Final[Mapping[int, int]] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}

PING = b": ping\n\n"


class RpcError(Exception):
    """A JSON-RPC error response. `status` is the HTTP status where the error is the whole answer."""

    def __init__(self, code: int, message: str, *, data: Json | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data
        self.status = status or STATUS.get(code, 200)

    def body(self) -> Json:
        error: Json = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}


@dataclass(frozen=True)
class Message:
    """A request, or a notification when `id` is None. `params` is an object, empty when there was none."""

    method: str
    params: Json
    id: Id | None

    @property
    def meta(self) -> Json:
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Tick:
    """Still waiting: `number` rises, `message` is for the person at the agent."""

    number: int
    message: str


@dataclass(frozen=True)
class Result:
    """The final answer. `written` runs once all of it was handed to the client's connection, and not before."""

    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)
    written: Callable[[], None] | None = None


Step = Iterator[Tick | Result]
"""How every method answers: any number of ticks, then one result. When the result comes first the answer is plain JSON,
otherwise an event stream. Raises RpcError, or an error of the house, in place of the result."""


def limits(settings: Gateway) -> Limits:
    return Limits(bytes=settings.request_bytes, depth=settings.depth, values=settings.values)


def read(raw: bytes, bounds: Limits) -> Message:
    """One request or notification. Batches are refused: they left the protocol with 2025-06-18, and one audit entry, one
    policy decision and one answer belong to one request."""
    try:
        body = parse(raw, bounds)
    except BadInput as error:
        raise RpcError(PARSE_ERROR, error.hint, status=413 if error.code == "too_large" else 400) from error
    if isinstance(body, list):
        raise RpcError(INVALID_REQUEST, "Send one JSON-RPC message in each POST: batches are not supported.")
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0" or not isinstance(body.get("method"), str):
        raise RpcError(INVALID_REQUEST, "The body must be one JSON-RPC 2.0 request or notification.")
    params = body.get("params", {})
    if not isinstance(params, dict):
        raise RpcError(INVALID_REQUEST, "params must be an object.")
    return Message(body["method"], params, _id(body))


def _id(body: Json) -> Id | None:
    """JSON-RPC 2.0 section 4.1: a notification is what has no `id` member; MCP forbids a null one."""
    if "id" not in body:
        return None
    found = body["id"]
    if isinstance(found, str) and len(found) <= 256:
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return int(found)
    raise RpcError(INVALID_REQUEST, "id must be a string of at most 256 characters, or an integer.")


def is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def accepts(accept: str) -> bool:
    """The client MUST list both `application/json` and `text/event-stream`; wildcards cover what they cover."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    json_too = kinds & {"application/json", "application/*", "*/*"}
    stream_too = kinds & {"text/event-stream", "text/*", "*/*"}
    return bool(json_too and stream_too)


def dump(body: Json) -> bytes:
    """ASCII, one line: safe as an event's data, and for any lone surrogate that a server sent."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def success(message_id: Id | None, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": message_id, "result": result}


def failure(message_id: Id | None, error: RpcError) -> Json:
    return {"jsonrpc": "2.0", "id": message_id, "error": error.body()}


def progress(token: Id, tick: Tick) -> Json:
    """Values rise with every notification of a request, as the protocol asks."""
    params = {"progressToken": token, "progress": tick.number, "message": tick.message}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def event(body: Json) -> bytes:
    return b"event: message\ndata: " + dump(body) + b"\n\n"


def as_rpc_error(error: CountersealError | KeeperError) -> RpcError:
    """What went wrong, by the root tables; only the public hint is told."""
    code = look_up(JSONRPC, error, INTERNAL_ERROR)
    return RpcError(code, error.hint, data={"code": error.code}, status=look_up(HTTP, error, 400))
