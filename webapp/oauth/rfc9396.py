"""RFC 9396, rich authorization requests: one type, `tool_call`, by which a token client says what it is about to do.

What it says is shown to people as reported, and policy may only be tightened by it (promise 10). It is read strictly: a server
refuses what it does not know (section 5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from authlib.oauth2 import OAuth2Error

from webapp.canonical import Limits, parse
from webapp.errors import BadInput
from webapp.oauth.handed import ToolCall

TYPE = "tool_call"
KNOWN = frozenset({"type", "tool", "arguments", "resources"})
LIMITS = Limits(bytes=32_000, depth=16, values=2_000)
TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}", re.ASCII)
RESOURCES = 50
RESOURCE = 300
"""Characters of one resource id."""


class InvalidDetails(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """Section 5."""

    error = "invalid_authorization_details"


def read(text: str | None) -> ToolCall | None:
    """Section 2: a JSON array; here of exactly one object, since one decision is about one call. None where nothing was sent.
    Raises InvalidDetails."""
    if text is None:
        return None
    try:
        found = parse(text.encode(), LIMITS)
    except (BadInput, UnicodeEncodeError) as error:
        raise InvalidDetails(error.hint if isinstance(error, BadInput) else "It is not UTF-8") from error
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise InvalidDetails("authorization_details is an array of exactly one object")
    return _tool_call(found[0])


def _tool_call(found: Mapping[str, Any]) -> ToolCall:
    if found.get("type") != TYPE:
        raise InvalidDetails("The one type that is known here is tool_call")
    unknown = sorted(set(found) - KNOWN)
    if unknown:
        raise InvalidDetails(f"A tool_call has type, tool, arguments and resources; not {_plain(unknown[0])}")
    tool, arguments, resources = found.get("tool"), found.get("arguments", {}), found.get("resources", [])
    if not isinstance(tool, str) or not TOOL.fullmatch(tool):
        raise InvalidDetails("tool is a tool's name")
    if not isinstance(arguments, dict):
        raise InvalidDetails("arguments is an object")
    if not isinstance(resources, list) or len(resources) > RESOURCES or not all(_names(one) for one in resources):
        raise InvalidDetails(f"resources is an array of at most {RESOURCES} ids of at most {RESOURCE} characters")
    return ToolCall(tool, arguments, tuple(sorted(set(resources))))


def _names(one: object) -> bool:
    return isinstance(one, str) and 0 < len(one) <= RESOURCE and one.isprintable()


def _plain(text: str) -> str:
    """RFC 6749 section 5.2 allows printable ASCII in a description, without quotes and backslashes."""
    return re.sub(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]", "?", text)[:40]


def document(call: ToolCall) -> list[dict[str, Any]]:
    """Section 7: as it was granted, in the token answer."""
    return [{"type": TYPE, "tool": call.tool, "arguments": dict(call.arguments), "resources": list(call.resources)}]
