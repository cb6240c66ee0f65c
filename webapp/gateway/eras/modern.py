"""MCP 2026-07-28: every request carries its version and capabilities, in `_meta` and mirrored in headers. No sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from werkzeug.datastructures import Headers

from webapp.gateway.eras import META, SUPPORTED, TASKS, Ask, cacheable
from webapp.gateway.mirrored import decode, mismatch
from webapp.gateway.negotiation import MODERN
from webapp.gateway.wire import INVALID_PARAMS, UNSUPPORTED_VERSION, Json, Message, RpcError
from webapp.oauth.tokens import Caller

VERSION_KEY: Final = f"{META}protocolVersion"
CAPABILITIES_KEY: Final = f"{META}clientCapabilities"

NAMED: Final[Mapping[str, str]] = {
    "tools/call": "name", "prompts/get": "name", "resources/read": "uri",
    "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId",
}
"""Which parameter `Mcp-Name` mirrors, by method; for tasks as SEP-2663 says."""

INSTRUCTIONS: Final = (
    "Calls to these tools pass through Counterseal. Some wait until a person confirms or approves them: when an answer says "
    "so, show its link to the person you act for, and call again with identical arguments to get the outcome."
)


def understand(caller: Caller, server: str, message: Message, headers: Headers) -> Ask:
    """The ladder, first failure first: 1. `_meta` has what every request must carry; 2. the headers say what the body says;
    3. the version is one we speak. Raises RpcError."""
    meta = message.meta
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}.")
    capabilities = meta[CAPABILITIES_KEY]
    if not isinstance(meta[VERSION_KEY], str) or not isinstance(capabilities, dict):
        raise RpcError(INVALID_PARAMS, f"{VERSION_KEY} must be a string and {CAPABILITIES_KEY} an object.")
    _mirror(message, headers)
    check_version(meta[VERSION_KEY])
    return Ask(
        caller, server, message, "modern", MODERN,
        tasks=TASKS in _object(capabilities, "extensions"), url="url" in _object(capabilities, "elicitation"), headers=headers,
    )


def check_version(version: str) -> None:
    if version != MODERN:
        data = {"supported": list(SUPPORTED), "requested": version}
        raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data=data)


def _mirror(message: Message, headers: Headers) -> None:
    """Attack: an intermediary that routes or counts by a header while we act on the body."""
    if headers.get("MCP-Protocol-Version") != message.meta[VERSION_KEY]:
        raise mismatch("MCP-Protocol-Version is not the version in the body.")
    if headers.get("Mcp-Method") != message.method:
        raise mismatch("Mcp-Method is not the method in the body.")
    named = NAMED.get(message.method)
    value = message.params.get(named) if named else None
    if value is not None and decode(headers.get("Mcp-Name", "")) != value:
        raise mismatch(f"Mcp-Name is not the {named} in the body.")


def _object(parent: Json, name: str) -> Json:
    found = parent.get(name)
    return found if isinstance(found, dict) else {}


def discover(ask: Ask) -> Json:
    """What is behind this URL, without asking the server behind it."""
    return cacheable(ask, {
        "supportedVersions": list(SUPPORTED),
        "capabilities": {"tools": {}, "extensions": {TASKS: {}}},
        "instructions": INSTRUCTIONS,
    }, ttl_ms=60_000)
