"""One POST to an upstream server and the one JSON-RPC answer to it: bounded in bytes and time, no redirect, sent once."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import SplitResult

from webapp.gateway.pool import Kept, Pool
from webapp.gateway.sse import Reader
from webapp.gateway.wire import Json

CHUNK = 65536
TARGET = re.compile(r"[\x21-\x7e]+")
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
LENGTH = re.compile(r"[0-9]{1,12}", re.ASCII)
HEAD = re.compile(
    rb"HTTP/1\.1 (2[0-9]{2}|[45][0-9]{2})(?: [^\r\n]*)?\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
ODD = {"transfer-encoding", "content-encoding", "connection"}
DRAIN = 0.25
"""Seconds to wait for the end of a stream whose answer was read, so that its connection can be kept."""


class NotSent(Exception):
    """The request did not leave whole: a server that counts its body cannot have acted on it."""


class Silent(Exception):
    """The request left whole, and no answer to it was understood: whether the server acted is not known."""


@dataclass(frozen=True)
class Request:
    """`asked` is told of a request that the server makes on the answering stream (legacy versions allow it)."""

    url: SplitResult
    headers: Mapping[str, str]
    body: bytes
    id: str | None
    asked: Callable[[Json], None] | None = None


@dataclass(frozen=True)
class Reply:
    """`message` is the JSON-RPC response with our id; None where the HTTP status is all there was."""

    status: int
    headers: Mapping[str, str]
    message: Json | None


@dataclass(frozen=True)
class Bounds:
    seconds: float
    bytes: int


def post(pool: Pool, request: Request, bounds: Bounds, *, fresh: bool = False) -> Reply:
    """Send once and read the answer. `fresh` opens a connection of its own, so that no server's idle close can make it
    unclear whether the request was heard. Raises NotSent or Silent."""
    try:
        kept = pool.take(request.url, fresh=fresh)
    except OSError as error:
        raise NotSent(f"cannot connect: {type(error).__name__}") from error
    kept.until(time.monotonic() + bounds.seconds)
    keep = False
    try:
        _send(kept, request)
        reply, keep = _receive(kept, request, bounds)
    finally:
        if keep:
            pool.give(kept)
        else:
            kept.close()
    return reply


def _send(kept: Kept, request: Request) -> None:
    try:
        kept.send(head(kept.host, request) + request.body)
    except (OSError, ValueError) as error:
        raise NotSent(f"could not send: {type(error).__name__}") from error


def head(host: str, request: Request) -> bytes:
    """RFC 9112 section 3, in one piece with the body, so that it leaves in one packet. Raises ValueError for what would be more
    than one request, or another one: a control character or a space in the target, a line in a field."""
    target = (request.url.path or "/") + (f"?{request.url.query}" if request.url.query else "")
    if not TARGET.fullmatch(target):
        raise ValueError("the request's target")
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}"]
    for name, value in request.headers.items():
        if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise ValueError("a header field")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, f"Content-Length: {len(request.body)}", "", ""]).encode("latin-1")


def _receive(kept: Kept, request: Request, bounds: Bounds) -> tuple[Reply, bool]:
    """The reply, and whether the connection can be used again."""
    try:
        received = kept.receive()
        if (counted := Counted.of(received)) is not None:
            return _counted(kept, request, bounds, counted, received)
        response = kept.response(received)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if headers.get("content-encoding", "identity") != "identity":
            raise Silent("an encoded answer, which was not asked for")
        message = _message(kept, request, response, bounds)
    except (OSError, HTTPException, ValueError) as error:
        raise Silent(f"no answer: {type(error).__name__}") from error
    return Reply(response.status, headers, message), _ended(response) and not response.will_close


@dataclass(frozen=True)
class Counted:
    """The head of an answer like nearly all: HTTP/1.1, one length, JSON. Taking it apart here costs a fifth of what `http.client`
    needs; any other answer is left to that. `start` is where its body begins."""

    status: int
    headers: Mapping[str, str]
    length: int
    start: int

    @classmethod
    def of(cls, received: bytes) -> Counted | None:
        found = HEAD.match(received)
        if found is None:
            return None
        fields = [line.partition(b":") for line in found[2].split(b"\r\n")[:-1]]
        headers = {name.lower().decode("ascii"): value.strip(b" \t").decode("latin-1") for name, _, value in fields}
        length, kind = headers.get("content-length", ""), headers.get("content-type", "").partition(";")[0].strip().lower()
        if len(headers) != len(fields) or not LENGTH.fullmatch(length) or ODD & headers.keys():
            return None
        if found[1] == b"204" or kind != "application/json":
            return None
        return cls(int(found[1]), headers, int(length), found.end())


def _counted(kept: Kept, request: Request, bounds: Bounds, head: Counted, received: bytes) -> tuple[Reply, bool]:
    if head.length > bounds.bytes:
        raise Silent(f"the answer is larger than {bounds.bytes} bytes")
    pieces, missing = [received[head.start:head.start + head.length]], head.length - (len(received) - head.start)
    while missing > 0:
        piece = kept.receive(min(missing, CHUNK))
        if not piece:
            raise Silent("the answer was cut off")
        pieces.append(piece)
        missing -= len(piece)
    raw = b"".join(pieces)
    message = _ours(_parse(raw), request, head.status) if raw else None
    return Reply(head.status, head.headers, message), missing == 0


def _ended(response: HTTPResponse) -> bool:
    """Was it read to its end? `http.client` notices the end of a counted body only when asked for more, and takes no other
    request on the connection until then."""
    if response.length == 0:
        response.close()
    return response.isclosed()


def _message(kept: Kept, request: Request, response: HTTPResponse, bounds: Bounds) -> Json | None:
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if kind == "text/event-stream" and response.status == 200:
        found = _from_stream(request, response, bounds)
        _drain(kept, response)
        return found
    raw = b"".join(_chunks(response, bounds))
    if kind != "application/json" or not raw:
        return None
    return _ours(_parse(raw), request, response.status)


def _ours(body: Any, request: Request, status: int) -> Json | None:
    """The response to our request. An error may come without an id, where the server refused before it read one."""
    if isinstance(body, dict) and ("result" in body or "error" in body):
        if body.get("id") == request.id or ("error" in body and body.get("id") is None):
            return body
        raise Silent("answered another request")
    if status >= 400:
        return None
    raise Silent("answered something that is no JSON-RPC response")


def _from_stream(request: Request, response: HTTPResponse, bounds: Bounds) -> Json:
    reader = Reader()
    for chunk in _chunks(response, bounds):
        for data in reader.feed(chunk):
            if not data:  # a priming event: an id to resume from (2025-11-25, Transports), which is not done here
                continue
            body = _parse(data)
            if not isinstance(body, dict):
                raise Silent("an event that is no JSON-RPC message")
            if "method" not in body and body.get("id") == request.id:
                return body
            if "method" in body and "id" in body and request.asked is not None:
                request.asked(body)
    raise Silent("the stream ended without an answer")


def _chunks(response: HTTPResponse, bounds: Bounds) -> Iterator[bytes]:
    total = 0
    while chunk := response.read1(CHUNK):
        total += len(chunk)
        if total > bounds.bytes:
            raise Silent(f"the answer is larger than {bounds.bytes} bytes")
        yield chunk
    if response.length:
        raise Silent("the answer was cut off")


def _drain(kept: Kept, response: HTTPResponse) -> None:
    kept.until(time.monotonic() + DRAIN)
    try:
        response.read1(CHUNK)
    except (OSError, HTTPException, ValueError):
        kept.close()


def _parse(raw: bytes) -> Any:
    """A server's JSON: whatever number it writes is passed on, but no NaN, and no nesting that exhausts the parser."""
    try:
        return json.loads(raw, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise Silent("the answer is not JSON") from error


def _constant(text: str) -> Any:
    raise ValueError(text)
