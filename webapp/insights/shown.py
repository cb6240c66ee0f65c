"""Words and bars of the pages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from webapp.errors import Said, heard, nsaid, psaid, said
from webapp.insights.figures import By, Line

NOW = {"hold": psaid("of calls", "held"), "allow": psaid("of calls", "allowed"), "deny": psaid("of calls", "denied")}
WAS = {"hold": said("held then"), "allow": said("allowed then"), "deny": said("denied then")}
TITLES: dict[By, Said] = {
    "all": said("All together"), "group": said("By group"), "tool": said("By tool"), "hour": said("By hour of day"),
}
FIRST: dict[By, Said] = {"all": said("What"), "group": said("Group"), "tool": said("Tool"), "hour": said("Asked at")}
"""Heads of the first column."""
STATES = {
    "waiting": psaid("state of a trial", "Waits"), "running": psaid("state of a trial", "Under way"),
    "done": psaid("state of a trial", "Done"), "failed": psaid("state of a trial", "Not done"),
}
WIDTH = 160
"""Of a bar that is full, in pixels."""


def becomes(verdict: str, count: int) -> Said:
    if verdict == "hold":
        return nsaid("%(num)s would newly be held", "%(num)s would newly be held", count)
    if verdict == "allow":
        return nsaid("%(num)s would newly be allowed", "%(num)s would newly be allowed", count)
    return nsaid("%(num)s would newly be denied", "%(num)s would newly be denied", count)


def seconds(value: int | None) -> str:
    """`40 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`; a dash where there are too few cases."""
    if value is None:
        return "–"
    days, hours, minutes, rest = value // 86400, value // 3600 % 24, value // 60 % 60, value % 60
    if days:
        return said("%(days)s d %(hours)s h", days=days, hours=hours) if hours else said("%(days)s d", days=days)
    if hours:
        return said("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes) if minutes else said("%(hours)s h", hours=hours)
    if minutes:
        whole = said("%(minutes)s min", minutes=minutes)
        return said("%(minutes)s min %(seconds)s s", minutes=minutes, seconds=rest) if rest else whole
    return said("%(seconds)s s", seconds=rest)


def longest(lines: Iterable[Line]) -> int:
    """What a full bar of a table stands for, in seconds: the longest 95th percentile."""
    return max((spread.p95 or 0 for line in lines for spread in (line.look, line.decided)), default=0)


def width(value: int | None, most: int) -> int:
    """Of a bar, in pixels; never nothing for something."""
    return 0 if not value or not most else max(1, round(WIDTH * value / most))


def name(by: By, key: tuple[str | int, ...]) -> str:
    if by == "hour":
        first, last = int(key[0]), (int(key[0]) + 1) % 24
        return said("%(first)s to %(last)s", first=f"{first:02}:00", last=f"{last:02}:00")
    if by == "group":
        return str(key[0]) or said("The owner’s own word")
    return said("All actions") if by == "all" else f"{key[0]}/{key[1]}"


def problem(text: str, made_of: Mapping[str, Any]) -> Said:
    """Why a trial was not done, for its reader's language."""
    return heard(text, made_of.get("said"))


def when(text: str) -> datetime:
    """A time of a trial's result."""
    return datetime.fromisoformat(text)
