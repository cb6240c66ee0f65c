"""Two texts of one tool, part by part: what was approved, and what the server says now. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST = 4000
"""Characters of a part that are compared word by word; a longer one is shown whole on both sides."""


@dataclass(frozen=True)
class Piece:
    """A run of text; `changed` where the other side differs."""

    text: str
    changed: bool


@dataclass(frozen=True)
class Change:
    """One part of the description, by JSON Pointer. An empty side: it is not there."""

    where: str
    was: tuple[Piece, ...]
    now: tuple[Piece, ...]


def changes(approved: str, listed: str) -> list[Change]:
    """What differs between two canonical texts, in order of place."""
    before, after = dict(_parts(json.loads(approved))), dict(_parts(json.loads(listed)))
    places = [*before, *(place for place in after if place not in before)]
    return [_change(place, before.get(place), after.get(place)) for place in places if before.get(place) != after.get(place)]


def parts(text: str) -> list[tuple[str, str]]:
    """A description as lines of place and value, for reading."""
    return list(_parts(json.loads(text)))


def _parts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _parts(below, f"{where}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for at, below in enumerate(value):
            yield from _parts(below, f"{where}/{at}")
    else:
        yield where or "/", value if isinstance(value, str) and _plain(value) else json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> bool:
    """Whether a string reads as itself without quotes: `"true"` must not look like `true`."""
    try:
        json.loads(text or "null")
    except ValueError:
        return True
    except RecursionError:
        return False
    return False


def _change(where: str, was: str | None, now: str | None) -> Change:
    if was is None or now is None or max(len(was), len(now)) > LONGEST:
        return Change(where, _whole(was), _whole(now))
    old, new = re.split(r"(\s+)", was), re.split(r"(\s+)", now)
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        left += [Piece("".join(old[a:b]), kind != "equal")] if b > a else []
        right += [Piece("".join(new[c:d]), kind != "equal")] if d > c else []
    return Change(where, tuple(left), tuple(right))


def _whole(text: str | None) -> tuple[Piece, ...]:
    return () if text is None else (Piece(text, True),)
