"""Rules that ask who a recipient is. Of a call it is not kept who that was, but its use is counted under a digest (`usage.key`):
so a comparison with a text is made one with the text's digest. What asks more of a recipient cannot be tried. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from webapp.approvals.usage import key
from webapp.policy.engine import CLASSES, PolicySet
from webapp.policy.reading import Rule

KEPT = frozenset({"kind", "approved_before", "up_to_minor"})
ASKS, COMPARES = "asks", "compares"

Flags = frozenset[str]
NONE: Flags = frozenset()


@dataclass(frozen=True)
class Prepared:
    """The set as it can be tried. Its digest is not that of the set it was made of."""

    rules: PolicySet
    asks: frozenset[str]
    """Classes of tools for which a rule asks who the recipient is in a way that nothing kept answers."""
    compares: frozenset[str]
    """Classes for which a rule compares the recipient with a text."""


def prepared(candidate: PolicySet) -> Prepared:
    rules = PolicySet([digested(rule) for rule in candidate.rules], candidate.settings, within=candidate.within)
    flags: Mapping[str, Flags] = {cls: asked(candidate.rules_for(cls)) for cls in CLASSES}
    asks, compares = ({cls for cls in CLASSES if flag in flags[cls]} for flag in (ASKS, COMPARES))
    return Prepared(rules, frozenset(asks), frozenset(compares))


def asked(rules: Iterable[Rule]) -> Flags:
    """Also ASKS where a use of the context or of the recipient is not understood."""
    return NONE.union(*(_read(rule.body.get("conditions", ()))[1] for rule in rules))


def digested(rule: Rule) -> Rule:
    return replace(rule, body={**rule.body, "conditions": _read(rule.body.get("conditions", ()))[0]})


def _read(node: Any) -> tuple[Any, Flags]:
    """The node with digests for texts that a recipient is compared with, and what it asks."""
    if isinstance(node, list | tuple):
        found = [_read(each) for each in node]
        return [one for one, _ in found], NONE.union(*(flags for _, flags in found))
    if not isinstance(node, dict):
        return node, NONE
    compared = _compared(node)
    if compared is not None:
        return compared, frozenset({COMPARES})
    known = _known(node)
    if known is not None:
        return node, known
    parts = {name: _read(each) for name, each in node.items()}
    return {name: one for name, (one, _) in parts.items()}, NONE.union(*(flags for _, flags in parts.values()))


def _known(node: dict[str, Any]) -> Flags | None:
    """Of an access to the context; None for anything else."""
    if node.get("Var") == "context" or _is_recipient(node):
        return frozenset({ASKS})
    for operator in (".", "has"):
        inner = node.get(operator)
        if isinstance(inner, dict) and inner.get("left") == {"Var": "context"}:
            return NONE  # another attribute of the context; or whether there is a recipient at all
        if isinstance(inner, dict) and _is_recipient(inner.get("left")):
            return frozenset({ASKS}) if operator == "." and inner.get("attr") not in KEPT else NONE
    return None


def _compared(node: dict[str, Any]) -> dict[str, Any] | None:
    """`recipient.value == "x"`, either way round, `!=`, and `["x", "y"].contains(recipient.value)`."""
    for operator in ("==", "!=", "contains"):
        sides = node.get(operator)
        if not isinstance(sides, dict):
            continue
        left, right = sides.get("left"), sides.get("right")
        if _is_value(right) and (texts := _digests(left, several=operator == "contains")) is not None:
            return {operator: {"left": texts, "right": right}}
        if operator != "contains" and _is_value(left) and (text := _digests(right, several=False)) is not None:
            return {operator: {"left": left, "right": text}}
    return None


def _digests(node: Any, *, several: bool) -> dict[str, Any] | None:
    """Of a text, or of a set of texts that is written out."""
    if not isinstance(node, dict):
        return None
    if not several:
        text = node.get("Value")
        return {"Value": key(text)} if isinstance(text, str) else None
    members = node.get("Set")
    found = [_digests(each, several=False) for each in members] if isinstance(members, list) else [None]
    return None if None in found else {"Set": found}


def _is_recipient(node: Any) -> bool:
    inner = node.get(".") if isinstance(node, dict) else None
    return isinstance(inner, dict) and inner.get("left") == {"Var": "context"} and inner.get("attr") == "recipient"


def _is_value(node: Any) -> bool:
    inner = node.get(".") if isinstance(node, dict) else None
    return isinstance(inner, dict) and inner.get("attr") == "value" and _is_recipient(inner.get("left"))
