"""Words and bars of the pages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from webapp.insights.figures import By, Line

BECOMES = {"hold": "would newly be held", "allow": "would newly be allowed", "deny": "would newly be denied"}
NOW = {"hold": "held", "allow": "allowed", "deny": "denied"}
WAS = {"hold": "held", "allow": "allowed", "deny": "denied"}
TITLES: dict[By, str] = {"all": "All together", "group": "By group", "tool": "By tool", "hour": "By hour of day"}
WIDTH = 160
"""Of a bar that is full, in pixels."""


def seconds(value: int | None) -> str:
    """`40 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`; a dash where there are too few cases."""
    if value is None:
        return "–"
    days, hours, minutes, rest = value // 86400, value // 3600 % 24, value // 60 % 60, value % 60
    for big, unit, small, below in ((days, "d", hours, "h"), (hours, "h", minutes, "min"), (minutes, "min", rest, "s")):
        if big:
            return f"{big} {unit} {small} {below}" if small else f"{big} {unit}"
    return f"{rest} s"


def longest(lines: Iterable[Line]) -> int:
    """What a full bar of a table stands for, in seconds: the longest 95th percentile."""
    return max((spread.p95 or 0 for line in lines for spread in (line.look, line.decided)), default=0)


def width(value: int | None, most: int) -> int:
    """Of a bar, in pixels; never nothing for something."""
    return 0 if not value or not most else max(1, round(WIDTH * value / most))


def name(by: By, key: tuple[str | int, ...]) -> str:
    if by == "hour":
        return f"{int(key[0]):02}:00 to {(int(key[0]) + 1) % 24:02}:00"
    if by == "group":
        return str(key[0]) or "The owner’s own word"
    return "All actions" if by == "all" else f"{key[0]}/{key[1]}"


def when(text: str) -> datetime:
    """A time of a trial's result."""
    return datetime.fromisoformat(text)
