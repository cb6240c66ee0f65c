"""What rules can count: calls and money, of whom or of what, in which window. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webapp.policy.reading import Rule

Kind = Literal["calls", "base_minor"]
Subject = Literal["", "agent_", "account_", "recipient_", "tool_"]

KINDS: tuple[Kind, ...] = ("calls", "base_minor")
SUBJECTS: tuple[Subject, ...] = ("", "agent_", "account_", "recipient_", "tool_")
"""Empty: the person, through any agent. All others are of the same person: another's use never fills somebody's limit."""
WINDOWS: Mapping[str, int] = {"hour": 3600, "day": 86400, "week": 7 * 86400, "month": 30 * 86400}
"""Seconds, counted back from the call: no calendar's."""


@dataclass(frozen=True)
class Counter:
    """One attribute of `context.usage`."""

    name: str
    subject: Subject
    kind: Kind
    seconds: int
    window: str


COUNTERS: Mapping[str, Counter] = {
    one.name: one for one in (
        Counter(f"{subject}{kind}_last_{window}", subject, kind, seconds, window)
        for subject in SUBJECTS for kind in KINDS for window, seconds in WINDOWS.items()
    )
}
ALL = frozenset(COUNTERS)
SHIPPED = frozenset({
    "calls_last_hour", "base_minor_last_day", "account_base_minor_last_day", "recipient_base_minor_last_day",
})
"""What the shipped set counts."""


@dataclass(frozen=True)
class Limit:
    """A rule that compares a counter, with or without this call's own amount, with a figure."""

    rule: str
    reason: str
    counter: Counter
    most: int
    """The largest that the rule does not speak about: calls before this one, or minor units with this one."""
    holds: bool
    """The rule holds what is above; else it denies it."""


def limits(rules: Iterable[Rule]) -> tuple[Limit, ...]:
    """Those that are written plainly enough to be shown: `usage.x >= n` and `amount.base_minor + usage.x > n`, among what a
    `when` joins by `&&`. What is not found here is judged all the same: this is for showing how much is left."""
    found = (
        Limit(rule.id, rule.reason, COUNTERS[name], most, rule.requirements is not None)
        for rule in rules if rule.effect == "forbid"
        for condition in rule.body.get("conditions", ()) if condition.get("kind") == "when"
        for name, most in _compared(condition.get("body"))
        if name in COUNTERS
    )
    return tuple(found)


def _compared(node: Any) -> Iterable[tuple[str, int]]:
    if not isinstance(node, Mapping):
        return
    if "&&" in node:
        yield from _compared(node["&&"]["left"])
        yield from _compared(node["&&"]["right"])
    for operator, one_less in ((">", 0), (">=", 1)):
        sides = node.get(operator)
        if isinstance(sides, Mapping) and isinstance(figure := sides["right"].get("Value"), int):
            name = _counted(sides["left"])
            if name:
                yield name, figure - one_less


def _counted(node: Any) -> str:
    """`usage.x`, or the amount and it, in either order."""
    if isinstance(node, Mapping) and "+" in node:
        sides = [_path(node["+"]["left"]), _path(node["+"]["right"])]
        sides = [side for side in sides if side != ("amount", "base_minor")]
        return sides[0][1] if len(sides) == 1 and sides[0][0] == "usage" else ""
    head, name = _path(node)
    return name if head == "usage" else ""


def _path(node: Any) -> tuple[str, str]:
    """`a.b` of `context.a.b`."""
    outer = node.get(".") if isinstance(node, Mapping) else None
    inner = outer["left"].get(".") if isinstance(outer, Mapping) and isinstance(outer["left"], Mapping) else None
    if isinstance(outer, Mapping) and isinstance(inner, Mapping) and inner["left"] == {"Var": "context"}:
        return str(inner["attr"]), str(outer["attr"])
    return "", ""
