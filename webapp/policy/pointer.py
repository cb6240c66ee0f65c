"""JSON Pointer (RFC 6901)."""

from __future__ import annotations

import re
from typing import Any

VALID = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
LONGEST = 512


class Absent(Exception):
    """The document has nothing there."""


def valid(pointer: str) -> bool:
    """Whether this is a pointer to a part of a document: the whole of it (`""`) names no fact."""
    return 0 < len(pointer) <= LONGEST and VALID.fullmatch(pointer) is not None


def resolve(document: Any, pointer: str) -> Any:
    """What the pointer names (section 4: indices have no leading zeros). Raises Absent; ValueError on a malformed pointer."""
    if not VALID.fullmatch(pointer):
        raise ValueError(f"not a JSON Pointer: {pointer[:60]!r}")
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and INDEX.fullmatch(key) and int(key) < len(document):
            document = document[int(key)]
        else:
            raise Absent(pointer)
    return document


def escape(key: str) -> str:
    """One key as a pointer's token."""
    return key.replace("~", "~0").replace("/", "~1")
