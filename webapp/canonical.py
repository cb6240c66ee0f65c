"""JSON from strangers, read once and strictly; and its canonical form (RFC 8785)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vault.evidence import canonical, digest
from webapp.errors import BadInput, said

__all__ = ["Float", "Integer", "Limits", "canonical", "digest", "number_text", "parse"]

BEYOND_EXACT = 2**53


@dataclass(frozen=True)
class Limits:
    """Bounds checked before and while parsing."""

    bytes: int = 1_000_000
    depth: int = 32
    values: int = 20_000


class Integer(int):
    """An integer that remembers how it was written."""

    text: str


class Float(float):
    """A number with a fraction or exponent that remembers how it was written."""

    text: str


def number_text(value: Any) -> str | None:
    """How a parsed number was written; None for anything else, and for booleans."""
    return value.text if isinstance(value, Integer | Float) else None


def _integer(text: str) -> Integer:
    if len(text) > 17 or abs(int(text)) >= BEYOND_EXACT:
        raise BadInput("A number in the request is too large to be carried exactly.", detail=text[:40])
    number = Integer(text)
    number.text = text
    return number


def _float(text: str) -> Float:
    """Refuse what a double cannot carry: else the bytes that are approved would not be the value that was read."""
    number = Float(text)
    if len(text) > 40 or not abs(number) < BEYOND_EXACT or Decimal(text) != Decimal(repr(float(number))):
        raise BadInput("A number in the request cannot be carried exactly.", detail=text[:40])
    number.text = text
    return number


def _constant(text: str) -> Any:
    raise BadInput("NaN and Infinity are not JSON.", detail=text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A second key of the same name would let two readers see two documents."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadInput("An object in the request has the same key twice.")
    return value


STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])|(,)', re.DOTALL)


def _within(raw: bytes, limits: Limits) -> bool:
    """Depth and count, on the raw bytes, before the recursive parser sees them."""
    if raw.count(b"[") + raw.count(b"{") <= limits.depth and raw.count(b",") <= limits.values:
        return True
    depth = count = 0
    for opened, closed, comma in STRUCTURE.findall(raw):
        depth += bool(opened) - bool(closed)
        count += bool(comma)
        if depth > limits.depth or count > limits.values:
            return False
    return True


def _bounded(raw: bytes, limits: Limits) -> str:
    if len(raw) > limits.bytes:
        raise BadInput(said("The request is larger than %(most)s bytes.", most=limits.bytes), code="too_large")
    if not _within(raw, limits):
        raise BadInput(said(
            "The request is nested deeper than %(depth)s or has more than %(most)s values.",
            depth=limits.depth, most=limits.values,
        ))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput("The request is not UTF-8.") from error


def parse(raw: bytes, limits: Limits = Limits()) -> Any:
    """Parse once: duplicate keys, NaN, inexact numbers, lone surrogates and oversized input are refused with BadInput.

    Numbers come back as `Integer` and `Float`, which keep their text, so that an amount is read from what was written.
    """
    text = _bounded(raw, limits)
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_constant, object_pairs_hook=_object)
        text.encode("utf-8")
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (json.JSONDecodeError, UnicodeEncodeError) as error:
        raise BadInput("The request is not valid JSON.", detail=str(error)) from error
    return value
