"""What a recipient's spelling hides: names that are encoded, and words in several scripts. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ENCODED = re.compile(r"\bxn--([a-z0-9-]{1,59})", re.ASCII | re.IGNORECASE)
HOST = re.compile(r"(?:[^\s@/:.]+\.)+[^\s@/:.]{2,63}")
WORD = re.compile(r"[^\W\d_]+")
LONGEST = 400
TOGETHER = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA", "LATIN"}), frozenset({"CJK", "BOPOMOFO", "LATIN"}),
    frozenset({"CJK", "HANGUL", "LATIN"}),
)
"""Written together in one word by whole countries (TR 39 section 5.2, Highly Restrictive)."""


def decoded(text: str) -> str:
    """The text as a browser would show it, where parts of it are Punycode (RFC 3492); empty where none are."""
    if "xn--" not in text.lower():
        return ""
    found = ENCODED.sub(_decoded, text[:LONGEST])
    return found if found != text[:LONGEST] else ""


def _decoded(match: re.Match[str]) -> str:
    try:
        return match[1].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return match[0]


def encoded(text: str) -> str:
    """The text with its hosts as they go over the wire, where a letter of them is not ASCII; empty where all are."""
    found = HOST.sub(lambda match: ".".join(_label(one) for one in match[0].split(".")), text[:LONGEST])
    return found if found != text[:LONGEST] and not text.isascii() else ""


def _label(label: str) -> str:
    """One that is no host name after all stays as it is."""
    if label.isascii():
        return label
    try:
        return "xn--" + unicodedata.normalize("NFC", label).lower().encode("punycode").decode("ascii")
    except (UnicodeError, ValueError):
        return label


def mixed(text: str) -> tuple[str, ...]:
    """The scripts of the first word that is written in several which do not belong together; empty where none is."""
    for word in WORD.findall((decoded(text) or text)[:LONGEST]):
        scripts = {script for script in map(_script, word) if script}
        if len(scripts) > 1 and not any(scripts <= some for some in TOGETHER):
            return tuple(sorted(scripts))
    return ()


SHARED = ("MODIFIER", "FEMININE", "MASCULINE", "MICRO", "KATAKANA-HIRAGANA", "HALFWIDTH", "IDEOGRAPHIC")
"""First words of letters that several scripts share."""


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """By the first word of a letter's Unicode name, which is its script's; a letter borrowed for mathematics has its own."""
    words = unicodedata.name(char, "").split(" ")
    return "" if unicodedata.category(char)[0] != "L" or words[0] in SHARED else words[0]
