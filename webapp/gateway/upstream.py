"""The server's side: one call is one request, and what became of it is one of four things.

Nothing is sent twice, no redirect is followed, and the client's own token is not here to be sent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from webapp.config import Gateway
from webapp.gateway import mirrored
from webapp.gateway.exchange import Bounds, NotSent, Reply, Request, Silent, post
from webapp.gateway.negotiation import Negotiation, Refused, Target, Tongue
from webapp.gateway.pool import Pool
from webapp.gateway.wire import INVALID_PARAMS, METHOD_NOT_FOUND, Json, RpcError, dump

log = logging.getLogger("counterseal.gateway")

IDEMPOTENCY: Final = "counterseal/idempotency-key"
PAGES: Final = 50
RESOURCE_NOT_FOUND: Final = -32002
SERVER_REFUSED: Final = -31502

# The request was turned away before anything ran: RFC 9110 statuses, and JSON-RPC and MCP codes for what was never dispatched.
TURNED_AWAY_STATUS: Final = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 406, 411, 413, 415, 421, 429})
TURNED_AWAY_CODE: Final = frozenset({-32700, -32600, -32601, -32602, -32020, -32021, -32022})


@dataclass(frozen=True)
class ToolCall:
    """What is sent. `arguments` are the canonical bytes, exactly as digested and shown. `key` goes with the request as its
    idempotency key, and is its JSON-RPC id. `state` is the server's own, from an earlier leg."""

    tool: str
    arguments: bytes
    key: str
    schema: Json = field(default_factory=dict)
    state: str | None = None


@dataclass(frozen=True)
class Outcome:
    """`answered`: a result (with `isError` or not). `asks`: a modern server wants the same call again with its state.
    `refused`: an error in place of a result. `not_sent`: nothing ran. `silent`: it was sent, and what became of it is
    not known."""

    kind: Literal["answered", "asks", "refused", "not_sent", "silent"]
    result: Json = field(default_factory=dict)
    error: RpcError | None = None
    detail: str = ""
    nothing_ran: bool = False
    """Proof, not a guess: only then is a cap released."""


class Upstreams:
    """Every upstream server of this process: kept connections, and what is remembered of each."""

    def __init__(self, settings: Gateway) -> None:
        self._pool = Pool(settings.upstream_connections)
        self._bounds = Bounds(settings.upstream_timeout, settings.response_bytes)
        self._negotiation = Negotiation(self._pool, self._bounds)

    def call(self, target: Target, call: ToolCall, *, fresh: bool = False) -> Outcome:
        """One `tools/call`, one request. `fresh` (a held action) uses a connection and a legacy session of its own, so that no
        idle close makes its outcome uncertain. Never raises for what the server does."""
        try:
            tongue = self._negotiation.tongue(target, fresh=fresh)
            reply = post(self._pool, self._request(target, tongue, call), self._bounds, fresh=fresh)
        except Refused as error:
            self._negotiation.forget(target)
            return Outcome("refused", error=_turned_away(), detail=str(error), nothing_ran=True)
        except NotSent as error:
            self._negotiation.forget(target)
            return Outcome("not_sent", detail=str(error), nothing_ran=True)
        except Silent as error:
            return Outcome("silent", detail=str(error))
        outcome = _outcome(tongue, reply)
        if outcome.kind == "refused":
            self._negotiation.forget(target)
        return outcome

    def list_tools(self, target: Target) -> list[Json]:
        """The server's own listing, all pages. Raises NotSent, Silent or Refused."""
        tongue = self._negotiation.tongue(target)
        tools: list[Json] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = self._page(target, tongue, cursor)
            tools += [tool for tool in page.get("tools", []) if isinstance(tool, dict)]
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str):
                return tools
        raise Silent("the listing does not end")

    def close(self) -> None:
        self._pool.close()

    def _page(self, target: Target, tongue: Tongue, cursor: str | None) -> Json:
        params = ({"cursor": cursor} if cursor else {}) | ({"_meta": tongue.meta()} if tongue.era == "modern" else {})
        body = dump({"jsonrpc": "2.0", "id": "list", "method": "tools/list", "params": params})
        headers = {**tongue.headers("tools/list"), **target.credential()}
        reply = post(self._pool, Request(target.split, headers, body, "list"), self._bounds)
        result = (reply.message or {}).get("result")
        if not isinstance(result, dict) or not isinstance(result.get("tools"), list):
            self._negotiation.forget(target)
            raise Refused(f"tools/list was answered {reply.status} without a listing")
        return result

    def _request(self, target: Target, tongue: Tongue, call: ToolCall) -> Request:
        headers = {**tongue.headers("tools/call"), **target.credential()}
        if tongue.era == "modern":
            headers["Mcp-Name"] = mirrored.encode(call.tool)
            headers |= mirrored.outbound(mirrored.params(call.schema), json.loads(call.arguments))
        return Request(target.split, headers, _body(tongue, call), call.key, self._refusal(target, tongue))

    def _refusal(self, target: Target, tongue: Tongue) -> Any:
        """A legacy server that asks for sampling, roots or elicitation although none was offered is told so; its call goes on."""

        def refuse(asked: Json) -> None:
            error = RpcError(METHOD_NOT_FOUND, "This client offers no capabilities.")
            headers = {**tongue.headers("tools/call"), **target.credential()}
            body = dump({"jsonrpc": "2.0", "id": asked["id"], "error": error.body()})
            try:
                post(self._pool, Request(target.split, headers, body, None), self._bounds)
            except (NotSent, Silent) as problem:
                log.info("a server's own request could not be refused: %s", problem)

        return refuse


def _body(tongue: Tongue, call: ToolCall) -> bytes:
    """Put together around the canonical arguments, which are not written anew."""
    params = [b'"name":' + _text(call.tool), b'"arguments":' + call.arguments]
    if call.state is not None:
        params.append(b'"requestState":' + _text(call.state))
    params.append(b'"_meta":' + dump({**tongue.meta(), IDEMPOTENCY: call.key}))
    head = b'{"jsonrpc":"2.0","id":' + _text(call.key) + b',"method":"tools/call","params":{'
    return head + b",".join(params) + b"}}"


def _text(value: str) -> bytes:
    return json.dumps(value).encode("ascii")


def _outcome(tongue: Tongue, reply: Reply) -> Outcome:
    message = reply.message
    if message is None:
        return _by_status(reply)
    if "error" in message:
        return _refusal(message["error"])
    return _result(tongue, message["result"])


def _by_status(reply: Reply) -> Outcome:
    """No JSON-RPC answer at all. A server error may come after the deed; a redirect or a refusal comes in its place."""
    if 300 <= reply.status < 500:
        ran = reply.status not in TURNED_AWAY_STATUS
        return Outcome("refused", error=_turned_away(), detail=f"HTTP {reply.status}", nothing_ran=not ran)
    return Outcome("silent", detail=f"HTTP {reply.status}")


def _turned_away() -> RpcError:
    return RpcError(SERVER_REFUSED, "The server did not accept the request.", data={"code": "server_refused"})


def _refusal(error: Any) -> Outcome:
    """A server's words are bounded, and are told as the server's."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return Outcome("silent", detail="an error that is no JSON-RPC error")
    words = f"The server answered: {str(error.get('message', ''))[:500]}"
    told = RpcError(_crossing(error["code"]), words, data={"code": "server_error"}, status=200)
    return Outcome("refused", error=told, detail=f"JSON-RPC {error['code']}", nothing_ran=error["code"] in TURNED_AWAY_CODE)


def _crossing(code: int) -> int:
    """-32002 left the protocol with 2026-07-28; what the server says of headers, versions and parsing is about our request to it,
    and would mislead the client about its own."""
    if code == RESOURCE_NOT_FOUND:
        return INVALID_PARAMS
    about_us = code in (-32700, -32600) or -32099 <= code <= -32020
    return SERVER_REFUSED if about_us else code


def _result(tongue: Tongue, result: Any) -> Outcome:
    """Checked against the protocol's own model, so that nothing malformed goes further."""
    if not isinstance(result, dict):
        return Outcome("silent", detail="a result that is no object")
    kind = result.get("resultType", "complete") if tongue.era == "modern" else "complete"
    if kind == "input_required":
        return _asks(result)
    if kind != "complete":
        return Outcome("silent", detail="a kind of result that was not offered")
    if not model()(result):
        return Outcome("silent", detail="not a tool result")
    return Outcome("answered", result={name: value for name, value in result.items() if name != "resultType"})


@lru_cache(maxsize=1)
def model() -> Callable[[Json], bool]:
    """Whether a result fits the protocol's own model. Its package takes long to import: a process that is starting asks for it
    when it has started."""
    from mcp_types import CallToolResult
    from pydantic import ValidationError

    def fits(result: Json) -> bool:
        try:
            CallToolResult.model_validate(result, by_name=False)
        except ValidationError:
            return False
        return True

    return fits


def _asks(result: Json) -> Outcome:
    """State alone nests in ours and comes back. Questions to the person are refused: no capability for them was declared."""
    if result.get("inputRequests") or not isinstance(result.get("requestState"), str):
        hint = "The server asks for input that cannot be passed on."
        error = RpcError(SERVER_REFUSED, hint, data={"code": "server_asks"}, status=200)
        return Outcome("refused", error=error, detail="input requests without a capability")
    return Outcome("asks", result=result)


