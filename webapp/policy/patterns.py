"""A schema's `pattern`, run by a linear-time engine: a server's pattern must not be able to stop this process.

Attack: catastrophic backtracking (`^(a+)+$`) in Python's `re`. The engine here is Rust's `regex`, by way of pydantic; ECMA-262
spellings that mean something else there are translated, and what it cannot express (look-around, back-references) is refused.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

from webapp.errors import Said, said

LONGEST = 2000

ASCII_CLASSES = {"d": "[0-9]", "D": "[^0-9]", "w": "[A-Za-z0-9_]", "W": "[^A-Za-z0-9_]"}
"""ECMA-262 section 22.2: these are ASCII there and Unicode in Rust (`\\d` would let another script's digits through)."""


class UnsafePattern(Exception):
    """A pattern that cannot be run in linear time."""

    def __init__(self, why: Said) -> None:
        super().__init__(why)
        self.why = why


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text (JSON Schema: patterns are not anchored). Raises UnsafePattern."""
    try:
        compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=512)
def compiled(pattern: str) -> SchemaValidator:
    """Raises UnsafePattern."""
    if len(pattern) > LONGEST:
        raise UnsafePattern(said("a pattern is too long"))
    try:
        return SchemaValidator(core_schema.str_schema(pattern=_translated(pattern), regex_engine="rust-regex", strict=True))
    except SchemaError as error:
        why = said("a pattern uses look-around, back-references or other means that cannot be run safely")
        raise UnsafePattern(why) from error


def _translated(pattern: str) -> str:
    out: list[str] = []
    inside = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            out.append(ASCII_CLASSES.get(pattern[at + 1], char + pattern[at + 1]))
            at += 2
            continue
        if inside and char in "[&~":
            out.append("\\" + char)
        else:
            inside = (char == "[") if not inside else char != "]"
            out.append(char)
        at += 1
    return "".join(out)
