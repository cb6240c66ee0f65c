"""What pins a tool and a server: digests over canonical JSON (RFC 8785). Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from webapp.canonical import canonical
from webapp.errors import BadInput, said

TOOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,127}", re.ASCII)
DESCRIPTION_BYTES = 100_000

Json = Mapping[str, Any]


def description(listed: Json) -> str:
    """The tool as the server lists it, nothing left out, as canonical JSON text: titles, hints, icons, `_meta`, all of it can
    mislead an agent or a person. Raises BadInput on one that has no canonical form, a strange name, or is too large."""
    name = listed.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        raise BadInput("The server lists a tool whose name is not made of letters, digits, `_`, `-`, `.`, `/` and `:`.")
    if not isinstance(listed.get("inputSchema"), dict):
        raise BadInput(said("The server lists `%(tool)s` without an input schema.", tool=name))
    try:
        text = canonical(listed).decode()
    except (ValueError, RecursionError, UnicodeError) as error:
        words = said("The server lists `%(tool)s` with values that have no exact form.", tool=name)
        raise BadInput(words, detail=str(error)) from error
    if len(text) > DESCRIPTION_BYTES:
        raise BadInput(said(
            "The server lists `%(tool)s` with more than %(most)s bytes of description.", tool=name, most=DESCRIPTION_BYTES
        ))
    return text


UNREADABLE = "counterseal:unreadable"


def unreadable(name: str, why: str) -> str:
    """What stands in for a listing that has no canonical text. No description can have this form: it lacks an `inputSchema`."""
    return canonical({"name": name, UNREADABLE: why}).decode()


def why_unreadable(text: str) -> str:
    """Why a stored listing cannot be pinned; empty when it can."""
    if UNREADABLE not in text:
        return ""
    listed = json.loads(text)
    return "" if "inputSchema" in listed else str(listed.get(UNREADABLE, ""))


def of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pin(
    text: str, *, cls: str, pointers: Json, changes_recipients: bool, credential: Json | None, outside: bool = False
) -> str:
    """Over the canonical description and all that an admin decided about the tool: any change of either is another pin."""
    return of(document(
        json.loads(text), cls=cls, pointers=pointers, changes_recipients=changes_recipients, credential=credential,
        outside=outside,
    ))


def document(
    listed: Json, *, cls: str, pointers: Json, changes_recipients: bool, credential: Json | None, outside: bool = False
) -> str:
    """What a pin is the digest of, as canonical JSON text."""
    marked = {"outside": True} if outside else {}
    return canonical({
        "v": 1, "description": listed, "class": cls, "pointers": pointers, "changes_recipients": changes_recipients,
        "credential": credential, **marked,
    }).decode()


def manifest(url: str, pins: Mapping[str, str]) -> str:
    """Over the server's URL and the pins of all its approved tools."""
    return of(canonical({"v": 1, "url": url, "tools": dict(pins)}).decode())
