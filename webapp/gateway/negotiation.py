"""Which era an upstream server speaks, and its legacy sessions. Asked once and remembered; never part of a call itself."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from vault.secret import Secret
from webapp.gateway.exchange import Bounds, NotSent, Reply, Request, Silent, post
from webapp.gateway.pool import Pool
from webapp.gateway.wire import UNSUPPORTED_VERSION, Json, dump

MODERN: Final = "2026-07-28"
LEGACY: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
META: Final = "io.modelcontextprotocol/"
ME: Final[Mapping[str, str]] = {"name": "counterseal", "title": "Counterseal", "version": "0.1.0"}

REMEMBERED: Final = 600.0
"""Seconds that a server's era is believed. A server that changed is asked again at the first refusal, or then."""
SESSIONS: Final = 1024
SESSION_IDLE: Final = 300.0


class Refused(Exception):
    """The server answered the opening of a conversation with a refusal: nothing of the call was sent."""


@dataclass(frozen=True)
class Target:
    """One upstream server as one principal meets it. `placement` is `authorization` or `header:<Name>`. `principal` keeps one
    person's sessions from every other's."""

    url: str
    principal: str
    token: Secret[str] | None = None
    placement: str = "authorization"

    @property
    def split(self) -> SplitResult:
        return urlsplit(self.url)

    def credential(self) -> dict[str, str]:
        """The header that carries the token: the only place where it leaves for the server."""
        if self.token is None:
            return {}
        if self.placement.startswith("header:"):
            return {self.placement.removeprefix("header:"): self.token.reveal()}
        return {"Authorization": f"Bearer {self.token.reveal()}"}

    def key(self) -> tuple[str, str, str]:
        mark = "" if self.token is None else hashlib.sha256(self.token.reveal().encode()).hexdigest()
        return self.url, self.principal, mark


@dataclass(frozen=True)
class Tongue:
    """How to speak to a target: version, and for a legacy server its session, if it gave one."""

    era: Literal["modern", "legacy"]
    version: str
    session: str | None = None

    def headers(self, method: str) -> dict[str, str]:
        common = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": f"counterseal/{ME['version']}",
            "MCP-Protocol-Version": self.version,
        }
        if self.era == "modern":
            return {**common, "Mcp-Method": method}
        return {**common, "Mcp-Session-Id": self.session} if self.session else common

    def meta(self) -> Json:
        """No capability is declared: the server may ask nothing of the person behind the agent through us."""
        if self.era == "legacy":
            return {}
        return {f"{META}protocolVersion": self.version, f"{META}clientInfo": dict(ME), f"{META}clientCapabilities": {}}


class Negotiation:
    """What this process knows of each upstream. Only a memory: another process finds out for itself."""

    def __init__(self, pool: Pool, bounds: Bounds) -> None:
        self._pool, self._bounds = pool, bounds
        self._eras: dict[str, tuple[str, float]] = {}
        self._sessions: OrderedDict[tuple[str, str, str], tuple[Tongue, float]] = OrderedDict()
        self._lock = threading.Lock()

    def tongue(self, target: Target, *, fresh: bool = False) -> Tongue:
        """Raises NotSent when the server cannot be reached or speaks no version we know, Refused when it turns us away.
        `fresh` begins a legacy session of its own."""
        if self._era(target) == "modern":
            return Tongue("modern", MODERN)
        if not fresh and (known := self._session(target)) is not None:
            return known
        tongue = self._initialize(target)
        self._remember(target, tongue)
        return tongue

    def forget(self, target: Target) -> None:
        """After an answer that this memory does not explain: the next call asks again."""
        with self._lock:
            self._eras.pop(target.url, None)
            self._sessions.pop(target.key(), None)

    def _era(self, target: Target) -> str:
        era, until = self._eras.get(target.url, ("", 0.0))
        if time.monotonic() < until:
            return era
        reply = self._ask(target, Tongue("modern", MODERN), "server/discover", {})
        if reply.status in (401, 403):
            raise Refused(f"the server answered {reply.status}")
        era = "modern" if _speaks_modern(reply.message) else "legacy"
        if reply.status < 500:
            self._eras[target.url] = (era, time.monotonic() + REMEMBERED)
        return era

    def _initialize(self, target: Target) -> Tongue:
        offer = Tongue("legacy", LEGACY[-1])
        params = {"protocolVersion": LEGACY[-1], "capabilities": {}, "clientInfo": dict(ME)}
        reply = self._ask(target, offer, "initialize", params)
        if reply.status in (401, 403):
            raise Refused(f"the server answered {reply.status}")
        result = (reply.message or {}).get("result")
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        if version not in LEGACY:
            raise NotSent("the server speaks no version of MCP that is known here")
        tongue = Tongue("legacy", str(version), reply.headers.get("mcp-session-id"))
        self._post(target, tongue, {"jsonrpc": "2.0", "method": "notifications/initialized"}, None)
        return tongue

    def _ask(self, target: Target, tongue: Tongue, method: str, params: Json) -> Reply:
        body = {**params, "_meta": tongue.meta()} if tongue.era == "modern" else params
        return self._post(target, tongue, {"jsonrpc": "2.0", "id": "hello", "method": method, "params": body}, "hello")

    def _post(self, target: Target, tongue: Tongue, body: Json, message_id: str | None) -> Reply:
        """Opening a conversation does nothing on the server: no answer is as good as nothing sent."""
        headers = {**tongue.headers(str(body["method"])), **target.credential()}
        if body["method"] == "initialize":
            del headers["MCP-Protocol-Version"]
        try:
            return post(self._pool, Request(target.split, headers, dump(body), message_id), self._bounds)
        except Silent as error:
            raise NotSent(f"no conversation could be opened: {error}") from error

    def _session(self, target: Target) -> Tongue | None:
        with self._lock:
            tongue, until = self._sessions.get(target.key(), (None, 0.0))
            if tongue is None or time.monotonic() >= until:
                self._sessions.pop(target.key(), None)
                return None
            self._sessions[target.key()] = (tongue, time.monotonic() + SESSION_IDLE)
            self._sessions.move_to_end(target.key())
            return tongue

    def _remember(self, target: Target, tongue: Tongue) -> None:
        with self._lock:
            self._sessions[target.key()] = (tongue, time.monotonic() + SESSION_IDLE)
            self._sessions.move_to_end(target.key())
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)


def _speaks_modern(message: Json | None) -> bool:
    """A discovery result that names the version, or a refusal of another version that names it."""
    result, error = (message or {}).get("result"), (message or {}).get("error")
    if isinstance(result, dict):
        return MODERN in _strings(result.get("supportedVersions"))
    if isinstance(error, dict) and error.get("code") == UNSUPPORTED_VERSION and isinstance(error.get("data"), dict):
        return MODERN in _strings(error["data"].get("supported"))
    return False


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


