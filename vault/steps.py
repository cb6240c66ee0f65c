"""Escalation: which other groups may decide in the place of the one that a need asks, each from a time on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

LONGEST_STEP = 30 * 86400
MOST_STEPS = 4


class Step(TypedDict):
    """After so many seconds from when it was held, members of this group may decide in place of the need's own."""

    group: str
    after: int


def steps_of(need: Mapping[str, Any]) -> Sequence[Step]:
    """Of one need, the earliest first. One step stands by itself, several in a list."""
    found = need.get("escalate")
    return () if found is None else found if isinstance(found, list) else [found]


def check_steps(escalate: Any, group: str) -> None:
    """One step, or 2 to MOST_STEPS of them, each later than the one before it; no group twice, the need's own neither. Nothing
    else in them, so that no reader knows more than another. Raises ValueError, KeyError, TypeError."""
    steps = escalate if isinstance(escalate, list) else [escalate]
    if isinstance(escalate, list) and not 2 <= len(steps) <= MOST_STEPS:
        raise ValueError("a need's escalation: so many steps")
    before, known = 0, {group}
    for step in steps:
        after, other = step["after"], step["group"]
        if not isinstance(other, str) or set(step) != {"group", "after"} or not other or not group or other in known:
            raise ValueError("a need's escalation: its group")
        if not isinstance(after, int) or isinstance(after, bool) or not before < after <= LONGEST_STEP:
            raise ValueError("a need's escalation: its time")
        before, known = after, {*known, other}


def others_of(requirement: Iterable[Mapping[str, Any]], held_at: datetime) -> dict[str, list[tuple[str, datetime]]]:
    """By group asked: which other groups may decide in its place, and from when, the earliest first. Several needs of one group
    must all allow the same other; the latest time that any of them names counts."""
    asked: dict[str, list[dict[str, int]]] = {}
    for need in requirement:
        if need["kind"] == "approvers":
            asked.setdefault(need["group"], []).append({step["group"]: step["after"] for step in steps_of(need)})
    found = {}
    for group, each in asked.items():
        after = {other: max(one[other] for one in each) for other in set(each[0]).intersection(*each)}
        if after:
            order = sorted(after, key=lambda other: (after[other], other))
            found[group] = [(other, held_at + timedelta(seconds=after[other])) for other in order]
    return found
