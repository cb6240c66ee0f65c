"""Policy files read into rules: each with an `@id`, validated against the schema, in the Cedar JSON form under its own id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cedarpy

from webapp.errors import said
from webapp.policy import requirement
from webapp.policy.errors import PolicyRefused
from webapp.policy.requirement import Requirement

HERE = Path(__file__).parent
FLOOR = HERE / "floor.cedar"
DEFAULTS = HERE / "defaults"
SCHEMA = HERE / "schema.cedarschema"

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
ANNOTATIONS = {"id", "hold", "reason"}
FILE_BYTES = 256_000
FILES = 200
TEXT = 300


@dataclass(frozen=True)
class Rule:
    """One policy. `requirements` is None for a permit and for a plain forbid."""

    id: str
    effect: Literal["permit", "forbid"]
    reason: str
    requirements: tuple[Requirement, ...] | None
    source: str
    body: Mapping[str, Any]


@cache
def schema() -> cedarpy.Schema:
    return cedarpy.Schema.from_str(SCHEMA.read_text())


def files(folders: Sequence[Path]) -> list[Path]:
    """The floor, then the folders' `*.cedar` in order of name; a file of a later folder takes the place of its namesake."""
    found: dict[str, Path] = {}
    for folder in folders:
        found |= {path.name: path for path in folder.glob("*.cedar") if path.is_file() and not path.name.startswith(".")}
    if len(found) > FILES:
        raise PolicyRefused(said("More than %(most)s policy files.", most=FILES))
    return [FLOOR, *(found[name] for name in sorted(found))]


def ignored(folders: Sequence[Path]) -> list[Path]:
    """What lies in the folders and is not read: a rule in it would be believed to hold."""
    return sorted(
        path for folder in folders if folder.is_dir() for path in folder.iterdir()
        if path.is_dir() or path.suffix not in (".cedar", ".md") or path.name.startswith(".")
    )


def read(paths: Iterable[Path]) -> list[Rule]:
    """All rules of all files. Raises PolicyRefused naming file and rule."""
    rules: dict[str, Rule] = {}
    for path in paths:
        for rule in _file(path):
            if rule.id in rules:
                raise PolicyRefused(said(
                    "%(file)s: `%(rule)s` is defined in %(other)s already.",
                    file=path.name, rule=rule.id, other=rules[rule.id].source,
                ))
            rules[rule.id] = rule
    return list(rules.values())


def _file(path: Path) -> list[Rule]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyRefused(said("%(file)s cannot be read.", file=path.name), detail=str(error)) from error
    if len(text) > FILE_BYTES:
        raise PolicyRefused(said("%(file)s is larger than %(most)s bytes.", file=path.name, most=FILE_BYTES))
    parsed = _parse(path.name, text)
    rules = [_rule(path.name, body) for body in parsed]
    _validate(path.name, text)
    return rules


def _parse(name: str, text: str) -> list[dict[str, Any]]:
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise PolicyRefused(said("%(file)s: %(why)s", file=name, why=str(error))) from error
    if parsed["templates"] or parsed["templateLinks"]:
        raise PolicyRefused(said(
            "%(file)s: a template (`?principal`, `?resource`) permits and forbids nothing; write the rule out.", file=name,
        ))
    return list(parsed["staticPolicies"].values())


def _rule(name: str, body: dict[str, Any]) -> Rule:
    notes: dict[str, str | None] = body.get("annotations", {})
    identity = notes.get("id") or ""
    if not ID.fullmatch(identity):
        raise PolicyRefused(said(
            "%(file)s: every rule needs an @id of small letters, digits, `.`, `-` and `_`; one has %(id)s.",
            file=name, id=repr(identity),
        ))
    try:
        return Rule(
            identity, body["effect"], _reason(notes), _hold(notes, body["effect"]), name,
            {key: value for key, value in body.items() if key != "annotations"},
        )
    except PolicyRefused as error:
        raise PolicyRefused(said("%(file)s: `%(rule)s`: %(why)s", file=name, rule=identity, why=error.hint)) from error


def _reason(notes: Mapping[str, str | None]) -> str:
    """An annotation that nobody knows is a misspelt one: a hold without its `@hold` would be another rule."""
    unknown = notes.keys() - ANNOTATIONS
    if unknown:
        raise PolicyRefused(said("the annotation @%(name)s is not known; there are @id, @hold and @reason.", name=min(unknown)))
    reason = notes.get("reason") or ""
    if not 0 < len(reason) <= TEXT or not reason.isprintable():
        raise PolicyRefused(said(
            "@reason says in a line, at most %(most)s characters, why this rule speaks; an approver reads it.", most=TEXT,
        ))
    return reason


def _hold(notes: Mapping[str, str | None], effect: str) -> tuple[Requirement, ...] | None:
    if "hold" not in notes:
        return None
    if effect == "permit":
        raise PolicyRefused("@hold stands on a `permit`; a hold is a `forbid`, else it would hold nothing.")
    return requirement.parse(notes["hold"] or "")


def _validate(name: str, text: str) -> None:
    result = cedarpy.validate_policies(text, schema())
    if not result.validation_passed:
        ids = result.id_annotations_by_policy_id
        first = result.errors[0] if result.errors else None
        where = ids.get(first.policy_id, first.policy_id) if first else ""
        why = first.error if first else said("the rule does not fit the schema")
        raise PolicyRefused(said("%(file)s: `%(rule)s`: %(why)s", file=name, rule=where, why=why))


def context_read(policies: Any) -> Mapping[str, frozenset[str] | None] | None:
    """Which parts of `context` these policies (Cedar JSON) read: by top-level attribute, the attributes below it, or None for all
    of it. None instead of a mapping when a policy uses the context in a way that is not understood, and so may read all."""
    found: dict[str, set[str] | None] = {}
    if not _walk(policies, found):
        return None
    return {name: None if below is None else frozenset(below) for name, below in found.items()}


def _walk(node: Any, found: dict[str, set[str] | None]) -> bool:
    if isinstance(node, list):
        return all(_walk(each, found) for each in node)
    if not isinstance(node, dict):
        return True
    if node.get("Var") == "context":
        return False
    if "has" in node and (top := _top(node["has"])) is not None:
        found.setdefault(top, set())
        return True
    if (top := _top(node.get("."))) is not None:
        found[top] = None
        return True
    for operator in (".", "has"):
        outer = node.get(operator)
        left = outer.get("left") if isinstance(outer, dict) else None
        top = _top(left.get(".")) if isinstance(left, dict) else None
        if top is not None and isinstance(outer, dict):
            below = found.setdefault(top, set())
            if below is not None:
                below.add(outer["attr"])
            return True
    return all(_walk(each, found) for each in node.values())


def _top(access: Any) -> str | None:
    """`a` of `context.a` or `context has a`."""
    if isinstance(access, dict) and access.get("left") == {"Var": "context"}:
        attribute = access.get("attr")
        return attribute if isinstance(attribute, str) else None
    return None
