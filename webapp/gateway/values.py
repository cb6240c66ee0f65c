"""The single values in a tool's result, in one spelling each: what is compared with a later call's arguments. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from webapp.canonical import number_text

MOST: Final = 500
"""Of one result."""
LOOKED_AT: Final = 4_000
"""Leaves and words of one result at most. Attack: an answer made so that looking at it keeps every other call waiting."""
SHORTEST: Final = 4
LONGEST: Final = 1000
TEXT: Final = 100_000
DIGITS: Final = 3
"""A number with fewer says nothing: 20 is in half of all results."""
DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,12})?", re.ASCII)
PRINTED_IBAN: Final = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?\b", re.ASCII)
AROUND: Final = ".,;:!?()[]{}<>\"'`“”‘’„"


def heard(result: Mapping[str, Any]) -> frozenset[str]:
    """What a result of `tools/call` says, by value: each leaf, and in running text what looks like a number, an address or an
    account."""
    found: dict[str, None] = {}
    for value in _said(_leaves(result)):
        found[value] = None
        if len(found) >= MOST:
            break
    return frozenset(found)


def sent(arguments: Mapping[str, Any]) -> frozenset[str]:
    """What a call says itself: an answer that only repeats it is nobody's word."""
    return frozenset(_said(_walk(arguments)))


def _said(leaves: Iterator[Any]) -> Iterator[str]:
    left = LOOKED_AT
    for leaf in leaves:
        yield from forms(leaf)
        text = leaf[:TEXT] if isinstance(leaf, str) else ""
        words = text.split()[:left]
        yield from _words(text, words)
        left -= 1 + len(words)
        if left <= 0:
            return


def forms(value: Any) -> tuple[str, ...]:
    """The spellings under which a value is known; none for one that is too short to say anything. Spaces and capitals of ASCII do
    not count, nor do zeros at the end of a fraction."""
    if isinstance(value, bool) or value is None:
        return ()
    if not isinstance(value, str):
        return _number(number_text(value) or str(value))
    if len(value) > LONGEST:
        return ()
    text = "".join(unicodedata.normalize("NFC", value).split())
    if _plain(text):
        return _number(text)
    return (f"t:{text.lower() if text.isascii() else text}",) if len(text) >= SHORTEST else ()


def _number(text: str) -> tuple[str, ...]:
    plain = _plain(text)
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return (f"n:{plain}",) if sum(char.isdecimal() for char in plain) >= DIGITS else ()


def _plain(text: str) -> str:
    """A number without an exponent; empty for what is none, or one of no ordinary size.

    Attack: `1e999999999` is ten characters, and a gigabyte without its exponent."""
    try:
        number = Decimal(text) if len(text) <= 40 else None
    except InvalidOperation:
        return ""
    if number is None or not number.is_finite() or abs(number.adjusted()) > 18:
        return ""
    found = format(number, "f")
    return found if DECIMAL.fullmatch(found) else ""


def _words(text: str, words: Iterable[str]) -> Iterator[str]:
    """Of running text only what could be an account, an address or an amount."""
    for printed in PRINTED_IBAN.findall(text):
        yield from forms(printed)
    for word in words:
        bare = word.strip(AROUND)
        if bare != text and any(char.isdecimal() or char == "@" for char in bare):
            yield from forms(bare)


def _leaves(result: Mapping[str, Any]) -> Iterator[Any]:
    yield from _walk(result.get("structuredContent"))
    content = result.get("content")
    for part in content if isinstance(content, list) else ():
        inner = part.get("resource") if isinstance(part, Mapping) else None
        texts = [each.get("text") for each in (part, inner) if isinstance(each, Mapping)]
        for text in texts:
            if isinstance(text, str):
                yield from _walk(_read(text))


def _read(text: str) -> Any:
    """Many servers put their JSON into a text."""
    if text[:1] in "{[" and len(text) <= TEXT:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _walk(value: Any) -> Iterator[Any]:
    """Without recursion: how deep it is nested is the server's choice."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            left.extend(reversed(list(one.values())))
        elif isinstance(one, list):
            left.extend(reversed(one))
        else:
            yield one
