"""Two eras on one URL: what a request says in either, as one `Ask`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from werkzeug.datastructures import Headers

from webapp.gateway.negotiation import LEGACY, MODERN
from webapp.gateway.wire import INVALID_PARAMS, Id, Json, Message, RpcError
from webapp.oauth.tokens import Caller

META: Final = "io.modelcontextprotocol/"
TASKS: Final = "io.modelcontextprotocol/tasks"
SUPPORTED: Final = (MODERN, *reversed(LEGACY))
VERSION: Final = "0.1.0"


@dataclass(frozen=True)
class Ask:
    """One request, understood: who asks, what, and which ways of waiting their protocol and client allow."""

    caller: Caller
    server: str
    message: Message
    era: Literal["modern", "legacy"]
    version: str
    tasks: bool = False
    url: bool = False
    """The client can show a person a link (URL-mode elicitation)."""
    headers: Headers = field(default_factory=Headers)
    gone: Callable[[], bool] = lambda: False
    """Has the client hung up?"""

    @property
    def token(self) -> Id | None:
        """The progress token, if the client asked for progress."""
        found = self.message.meta.get("progressToken")
        return found if isinstance(found, int | str) and not isinstance(found, bool) else None

    def text(self, name: str) -> str | None:
        """A string parameter; None when it is absent or null. Raises RpcError -32602 for anything else."""
        found = self.message.params.get(name)
        if found is None or isinstance(found, str):
            return found
        raise RpcError(INVALID_PARAMS, f"{name} must be a string.")

    def required(self, name: str) -> str:
        found = self.text(name)
        if not found or len(found) > 256:
            raise RpcError(INVALID_PARAMS, f"{name} must be a string of 1 to 256 characters.")
        return found

    def object(self, name: str) -> Json:
        found = self.message.params.get(name)
        if found is None:
            return {}
        if isinstance(found, dict):
            return found
        raise RpcError(INVALID_PARAMS, f"{name} must be an object.")


def complete(ask: Ask, result: Json) -> Json:
    """A result as the asking era writes it. Modern results say their kind and whose they are; legacy ones know neither, and
    their `structuredContent` is an object or nothing."""
    if ask.era == "modern":
        meta = {**(result.get("_meta") or {}), f"{META}serverInfo": server_info(ask.server)}
        return {"resultType": "complete", **result, "_meta": meta}
    dropped = {"resultType"} if isinstance(result.get("structuredContent", {}), dict) else {"resultType", "structuredContent"}
    return {name: value for name, value in result.items() if name not in dropped}


def cacheable(ask: Ask, result: Json, ttl_ms: int = 0) -> Json:
    """What is listed depends on who asks: private, and stale at once, so that a revocation holds from the next request on."""
    full = complete(ask, result)
    return {**full, "ttlMs": ttl_ms, "cacheScope": "private"} if ask.era == "modern" else full


def server_info(server: str) -> Json:
    return {"name": server, "title": f"{server} behind Counterseal", "version": VERSION}
