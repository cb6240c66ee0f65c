"""What a server lists, asked for by the registry itself: `server add`, and the periodic look.

A minimal client of MCP's Streamable HTTP in both eras, over http.client: no redirects, bounded in bytes, pages and time, and
connected to the address that was checked. It asks as the gateway does (same client, modern first), so that both see one text.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult

from vault.secret import Secret
from webapp.errors import CountersealError, said
from webapp.registry import addresses

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
META = "io.modelcontextprotocol/"
ME = {"name": "counterseal", "title": "Counterseal", "version": "0.1.0"}
UNSUPPORTED_VERSION = -32022

SECONDS = 15.0
BYTES = 8_000_000
PAGES = 50
TOOLS = 500
CHUNK = 65536

Json = dict[str, Any]


class ListingFailed(CountersealError):
    """The server could not be asked; `hint` says why."""

    default = "listing_failed"


@dataclass
class _Talk:
    """One conversation: where to, until when, and how much may still come."""

    parts: SplitResult
    address: tuple[str, int]
    token: Secret[str] | None
    end: float
    left: int = BYTES
    session: str = ""
    version: str = ""
    modern: bool = False
    count: int = field(default=0)


def list_tools(url: str, token: Secret[str] | None = None, *, seconds: float = SECONDS) -> list[Json]:
    """All tools that the server lists, as it lists them. Raises ListingFailed or AddressRefused."""
    parts = addresses.split(url)
    talk = _Talk(parts, addresses.resolve(parts), token, time.monotonic() + seconds)
    _open(talk)
    tools: list[Json] = []
    cursor: str | None = None
    for _ in range(PAGES):
        result = _call(talk, "tools/list", {"cursor": cursor} if cursor else {}).get("result")
        page = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(page, list) or not isinstance(result, dict):
            raise ListingFailed("The server did not answer tools/list with a list of tools.")
        tools += [tool for tool in page if isinstance(tool, dict)]
        if len(tools) > TOOLS:
            raise ListingFailed(said("The server lists more than %(most)s tools.", most=TOOLS))
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            return tools
    raise ListingFailed(said("The server's listing has more than %(most)s pages.", most=PAGES))


def _open(talk: _Talk) -> None:
    """Modern where the server says so; else a legacy session."""
    talk.modern, talk.version = True, MODERN
    try:
        found = _call(talk, "server/discover", {}, lenient=True)
    except _NoAnswer:
        found = {}
    if _speaks_modern(found):
        return
    talk.modern, talk.version = False, ""
    params = {"protocolVersion": LEGACY[0], "capabilities": {}, "clientInfo": ME}
    result = _call(talk, "initialize", params).get("result")
    version = result.get("protocolVersion") if isinstance(result, dict) else None
    if version not in LEGACY:
        raise ListingFailed("The server speaks no version of MCP that is known here.")
    talk.version = version
    _post(talk, {"jsonrpc": "2.0", "method": "notifications/initialized"}, "notifications/initialized")


def _speaks_modern(message: Json) -> bool:
    result, error = message.get("result"), message.get("error")
    if isinstance(result, dict):
        return MODERN in (result.get("supportedVersions") or [])
    if isinstance(error, dict) and error.get("code") == UNSUPPORTED_VERSION and isinstance(error.get("data"), dict):
        return MODERN in (error["data"].get("supported") or [])
    return False


class _NoAnswer(ListingFailed):
    pass


def _call(talk: _Talk, method: str, params: Json, *, lenient: bool = False) -> Json:
    """The message that answers the call. `lenient`: an error is an answer too."""
    talk.count += 1
    if talk.modern:
        about = {f"{META}protocolVersion": MODERN, f"{META}clientInfo": ME, f"{META}clientCapabilities": {}}
        params = {**params, "_meta": about}
    message = _post(talk, {"jsonrpc": "2.0", "id": talk.count, "method": method, "params": params}, method)
    if message is None:
        raise _NoAnswer(said("The server did not answer %(method)s.", method=method))
    if "error" in message and not lenient:
        raise ListingFailed(said("The server refused %(method)s.", method=method), detail=str(message["error"])[:300])
    return message


def _post(talk: _Talk, body: Json, method: str) -> Json | None:
    connection = _connection(talk)
    try:
        connection.request("POST", _target(talk.parts), json.dumps(body).encode(), _headers(talk, method))
        response = connection.getresponse()
        return _answer(talk, response, body.get("id"))
    except (OSError, http.client.HTTPException) as error:
        raise ListingFailed("The server does not answer.", detail=f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _answer(talk: _Talk, response: http.client.HTTPResponse, identity: object) -> Json | None:
    if 300 <= response.status < 400:
        raise ListingFailed("The server redirects elsewhere, which is not followed. Give its final URL.")
    if response.status in (401, 403):
        raise ListingFailed("The server wants a token before it lists its tools.", code="needs_token")
    if response.getheader("Mcp-Session-Id"):
        talk.session = response.getheader("Mcp-Session-Id") or ""
    if identity is None or response.status == 202:
        return None
    if (response.getheader("Content-Type") or "").partition(";")[0].strip().lower() == "text/event-stream":
        return next((each for each in _events(talk, response) if _is_ours(each, identity)), None)
    message = _json(b"".join(_chunks(talk, response))) if response.status < 500 else None
    return message if _is_ours(message, identity) else None


def _is_ours(message: object, identity: object) -> bool:
    """An error may come without an id, where the server refused before it read one."""
    if not isinstance(message, dict):
        return False
    named = message.get("id")
    return ("result" in message and named == identity) or ("error" in message and named in (identity, None))


def _chunks(talk: _Talk, response: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := response.read1(CHUNK):
        talk.left -= len(chunk)
        if talk.left < 0:
            raise ListingFailed(said("The server's listing is larger than %(most)s bytes.", most=BYTES))
        _left(talk)
        yield chunk


def _events(talk: _Talk, response: http.client.HTTPResponse) -> Iterator[Json | None]:
    """The `data` of each server-sent event, as JSON (WHATWG HTML, 9.2.6)."""
    rest = b""
    for chunk in _chunks(talk, response):
        rest = (rest + chunk).replace(b"\r\n", b"\n")
        *whole, rest = rest.split(b"\n\n")
        for event in whole:
            data = b"\n".join(line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:"))
            if data:
                yield _json(data)


def _json(raw: bytes) -> Json | None:
    """Strict: the same key twice would let two readers see two descriptions."""
    try:
        found = json.loads(raw, object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise ListingFailed("The server answered with something that is not JSON.", detail=str(error)) from error
    return found if isinstance(found, dict) else None


def _object(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("the same key twice")
    return value


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _left(talk: _Talk) -> float:
    left = talk.end - time.monotonic()
    if left <= 0:
        raise ListingFailed("The server takes too long to list its tools.")
    return left


def _connection(talk: _Talk) -> http.client.HTTPConnection:
    host, port = talk.parts.hostname or "", talk.address[1]
    secure = talk.parts.scheme == "https"
    made = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(host, port, timeout=_left(talk))

    def connect(_named: object, *rest: Any, **named: Any) -> socket.socket:
        return socket.create_connection(talk.address, *rest, **named)

    made._create_connection = connect  # type: ignore[attr-defined]  # the address that was checked, under the name TLS verifies
    return made


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _headers(talk: _Talk, method: str) -> Mapping[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": f"counterseal/{ME['version']}",
    }
    if talk.token is not None:
        headers["Authorization"] = f"Bearer {talk.token.reveal()}"
    if talk.version:
        headers["MCP-Protocol-Version"] = talk.version
    if talk.modern:
        headers["Mcp-Method"] = method
    if talk.session:
        headers["Mcp-Session-Id"] = talk.session
    return headers
