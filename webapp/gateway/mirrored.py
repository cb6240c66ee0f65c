"""Request headers that mirror the body: `Mcp-Method`, `Mcp-Name` and a tool's `Mcp-Param-*` (Streamable HTTP, 2026-07-28).

Inbound they are compared with the body, outbound they are made anew from the pinned schema: an intermediary must never route
on a value that the body does not carry.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from werkzeug.datastructures import Headers

from webapp.gateway.wire import HEADER_MISMATCH, Json, RpcError

KEY: Final = "x-mcp-header"
PREFIX: Final = "Mcp-Param-"
SENTINEL = re.compile(r"=\?base64\?(?P<payload>.*)\?=")
SAFE = re.compile(r"[\x20-\x7e]*")
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
DECIMAL = re.compile(r"-?[0-9]+(\.0+)?")
TYPES: Final = ("string", "integer", "boolean")
DEPTH: Final = 32


@dataclass(frozen=True)
class Param:
    """One annotated property: where its value lies, the header it goes in, and its type."""

    path: tuple[str, ...]
    header: str
    type: str


def encode(value: str) -> str:
    """Plain where it survives an HTTP field, else the base64 sentinel."""
    if SAFE.fullmatch(value) and value == value.strip() and not SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8')).decode('ascii')}?="


def decode(value: str) -> str | None:
    """None for a sentinel that is not canonical base64 of UTF-8: a corrupt header must never match by accident."""
    found = SENTINEL.fullmatch(value)
    if found is None:
        return value if SAFE.fullmatch(value) else None
    try:
        raw = base64.b64decode(found["payload"], validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if base64.b64encode(raw).decode("ascii") == found["payload"] else None


def params(schema: Any) -> tuple[Param, ...]:
    """The valid annotations on properties reachable through `properties` alone. A schema that breaks the rules (an annotation
    on a number, two headers of one name) has none: a conforming client drops such a tool and sends no headers for it."""
    found = tuple(_walk(schema, ()))
    names = [param.header.lower() for param in found]
    valid = len(set(names)) == len(names) and all(
        TOKEN.fullmatch(param.header.removeprefix(PREFIX)) and param.type in TYPES for param in found
    )
    return found if valid else ()


def _walk(schema: Any, path: tuple[str, ...]) -> Iterator[Param]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or len(path) >= DEPTH:
        return
    for name, sub in properties.items():
        if isinstance(sub, dict) and KEY in sub:
            yield Param((*path, name), f"{PREFIX}{sub[KEY]}", str(sub.get("type")))
        yield from _walk(sub, (*path, name))


def _value(arguments: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(arguments, Mapping):
            return None
        arguments = arguments.get(key)
    return arguments


def _rendered(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    return value if isinstance(value, str) else None


def outbound(known: tuple[Param, ...], arguments: Json) -> dict[str, str]:
    """The `Mcp-Param-*` headers for these arguments; absent and null values have none."""
    values = ((param.header, _rendered(_value(arguments, param.path))) for param in known)
    return {header: encode(value) for header, value in values if value is not None}


def check_params(known: tuple[Param, ...], arguments: Json, headers: Headers) -> None:
    """Each annotated property and its header are there together and equal, or are both absent. Raises RpcError -32020."""
    for param in known:
        value = _rendered(_value(arguments, param.path))
        raw = headers.get(param.header)
        got = None if raw is None else decode(raw)
        same = raw is None if value is None else got is not None and _equal(param.type, value, got)
        if not same:
            raise mismatch(f"{param.header} does not match the argument {'.'.join(param.path)!r}.")


def _equal(kind: str, value: str, got: str) -> bool:
    """Integers compare as numbers, as the server SHOULD; everything else as text."""
    if kind == "integer" and DECIMAL.fullmatch(got) and DECIMAL.fullmatch(value):
        return int(got.partition(".")[0]) == int(value)
    return value == got


def mismatch(what: str) -> RpcError:
    return RpcError(HEADER_MISMATCH, f"Header mismatch: {what}")
