"""The two-step decision: first the rules (every permit, every plain forbid), then the holds. Default deny, and any error denies.

A policy whose condition errs is skipped by Cedar: a forbid that errs would let the call pass. So a diagnostic is a denial.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import cedarpy

from vault.evidence import BadHours, Hours
from webapp import config
from webapp.canonical import canonical
from webapp.errors import said
from webapp.policy import amounts, context, counters, reading, requirement
from webapp.policy.calls import NONE_ALLOWS, NOT_EVALUATED, Allow, Call, Deny, Hold, Reason, Verdict
from webapp.policy.errors import PolicyRefused
from webapp.policy.reading import DEFAULTS, Rule

__all__ = ["DEFAULTS", "Allow", "Call", "Deny", "Hold", "Listing", "PolicyRefused", "PolicySet", "Reason", "Verdict", "load"]

WITHIN = 4 * 3600
ANSWERS = 4096
"""Of each part of the set, how many are kept."""
CLASSES = ("read", "write", "send", "money", "destroy")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]{0,199}", re.ASCII)
EVERYTHING: dict[str, Any] = {
    "effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": [],
}
PERMIT_ALL = " everything"
"""Stands beside the holds, so that none of them forbidding is an Allow. No rule can have this id."""


@dataclass(frozen=True)
class Listing:
    """Who asks to see which tool: what is known before any call."""

    person: str
    groups: tuple[str, ...]
    agent: str
    verified: bool
    mtls: bool
    server: str
    tool: str
    cls: str


@dataclass(frozen=True)
class Request:
    """Who calls what. Ids as data, never spliced into Cedar text."""

    person: str
    groups: tuple[str, ...]
    server: str
    tool: str
    cls: str

    def document(self) -> dict[str, Any]:
        return {
            "principal": {"type": "Person", "id": self.person},
            "action": {"type": "Action", "id": "call"},
            "resource": {"type": "Tool", "id": f"{self.server}/{self.tool}"},
        }

    def entities(self) -> cedarpy.Entities:
        return _entities(self.person, self.groups, self.server, self.tool, self.cls)


@dataclass(frozen=True)
class Answer:
    """What Cedar said: `reasons` and `errors` as it reports them."""

    allowed: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]


class PolicySet:
    """A loaded set. Keeps parsed handles: a decision is one evaluation of the rules and, if they allow, one of the holds."""

    def __init__(self, rules: Sequence[Rule], settings: config.Policy, *, within: int = WITHIN) -> None:
        self.rules = tuple(rules)
        self.settings = settings
        self.within = within
        self.digest = _digest(rules, settings, within)
        self.hours = _hours(rules, settings)
        self._by_id = {rule.id: rule for rule in rules}
        self._rules = {cls: _Part(_of(cls, rules, holds=False)) for cls in CLASSES}
        self._holds = {cls: _Part(_of(cls, rules, holds=True), permit_all=True) for cls in CLASSES}
        self._counted = {cls: self._rules[cls].counted | self._holds[cls].counted for cls in CLASSES}
        self._limits = {cls: counters.limits(self.rules_for(cls)) for cls in CLASSES}

    def decide(self, call: Call) -> Verdict:
        """What is to become of this call. Never raises for what a rule does: an error is a Deny.

        What was inferred, or only reported by a server outside the gateway, is asked about both with and without: it may
        add a hold or a denial and never removes one.
        """
        if call.cls not in CLASSES:
            return Deny("This tool has no known class.", (), self.digest)
        request = Request(call.person, call.groups, call.server, call.tool, call.cls)
        held: dict[str, None] = {}
        for facts in context.views(call, self.settings):
            found = self._once(request, facts)
            if isinstance(found, Deny):
                return found
            held |= dict.fromkeys(found)
        return self._hold(list(held), call.now) if held else Allow(self.digest)

    def counted(self, cls: str) -> frozenset[str]:
        """The counters that rules for this class of tool read: what has to be known of use before one is judged."""
        return self._counted.get(cls, frozenset())

    def asks_session(self, cls: str) -> bool:
        """Whether rules for this class of tool read what the agent did before (`session`), or may."""
        parts = [part[cls]._read for part in (self._rules, self._holds) if cls in part]
        return any(read is None or "session" in read for read in parts)

    def rules_for(self, cls: str) -> tuple[Rule, ...]:
        """The rules and holds that can speak about this class of tool."""
        return (*_of(cls, self.rules, holds=False), *_of(cls, self.rules, holds=True))

    def limits(self, cls: str) -> tuple[counters.Limit, ...]:
        """The plainly written limits of this class."""
        return self._limits.get(cls, ())

    def may_permit(self, asked: Listing) -> bool:
        """Whether policy could allow or hold some call of this tool by this person and agent. Only for listing tools."""
        if asked.cls not in CLASSES or not all(PLAIN.fullmatch(each) for each in (asked.person, asked.server, asked.tool)):
            return False
        request = {
            "principal": _uid("Person", asked.person), "action": 'Action::"call"',
            "resource": _uid("Tool", f"{asked.server}/{asked.tool}"),
        }
        entities = _entities(asked.person, asked.groups, asked.server, asked.tool, asked.cls)
        handle = self._rules[asked.cls].handle
        return any(_possible({**request, "context": json.dumps(each)}, handle, entities) for each in context.unknown(asked))

    def _once(self, request: Request, facts: dict[str, Any]) -> Deny | list[str]:
        """The ids that hold the call in this view of it; none: allowed."""
        first = self._rules[request.cls].ask(request, facts)
        if first.errors:
            return self._erred(first.errors)
        if not first.allowed:
            return self._forbidden(first.reasons)
        second = self._holds[request.cls].ask(request, facts)
        if second.errors:
            return self._erred(second.errors)
        return [] if second.allowed else sorted(second.reasons) or [""]

    def _erred(self, errors: Sequence[str]) -> Deny:
        ids = tuple(rule.id for rule in self.rules if any(f"`{rule.id}`" in error for error in errors))
        return Deny(NOT_EVALUATED, ids, self.digest)

    def _forbidden(self, reasons: Sequence[str]) -> Deny:
        ids = tuple(sorted(reasons))
        text = "; ".join(self._by_id[each].reason for each in ids)
        return Deny(text or NONE_ALLOWS, ids, self.digest)

    def _hold(self, ids: list[str], now: datetime) -> Hold | Deny:
        found = [self._by_id[each] for each in ids if each in self._by_id]
        if len(found) != len(ids):
            return Deny(NOT_EVALUATED, (), self.digest)
        asked = [(rule.id, rule.requirements or ()) for rule in found]
        total = requirement.add_up(asked, self.within, now=now, hours=self.hours)
        reasons = tuple(Reason(rule.id, rule.reason) for rule in found)
        return Hold(total.needs, total.within, reasons, self.digest, total.latest, total.undo)


def load(folders: Sequence[Path], settings: config.Policy | None = None, *, within: int = WITHIN) -> PolicySet:
    """The set of these folders, later ones over earlier ones, above the floor. Raises PolicyRefused and loads nothing if any
    rule does not fit. `within` (seconds) is the time for holds that name none."""
    settings = settings or config.Policy()
    _check_settings(settings)
    rules = reading.read(reading.files(folders))
    if not any(rule.effect == "permit" for rule in rules):
        raise PolicyRefused("No rule permits anything: every call would be denied. Write `permit` rules, or keep the defaults.")
    return PolicySet(rules, settings, within=within)


def _hours(rules: Sequence[Rule], settings: config.Policy) -> Hours | None:
    """The business hours, where a rule speaks of them. Raises PolicyRefused where there are none."""
    if not any(each.hours or each.business for rule in rules for each in rule.requirements or ()):
        return None
    try:
        days = tuple(sorted(set(settings.business_days)))
        return Hours(days, settings.business_from * 60, settings.business_to * 60, settings.zone)
    except BadHours as error:
        words = said("A hold speaks of business hours, and the settings name none: %(why)s.", why=str(error))
        raise PolicyRefused(words) from error


def _check_settings(settings: config.Policy) -> None:
    try:
        context.check(settings)
        for rate in settings.rates.values():
            amounts.parse_rate(rate)
    except (ValueError, amounts.Unreadable) as error:
        raise PolicyRefused(said("The policy settings do not hold: %(why)s", why=str(error))) from error


def _possible(request: dict[str, Any], handle: cedarpy.PolicySet, entities: cedarpy.Entities) -> bool:
    found = cedarpy.is_authorized_partial(request, handle, entities)
    return found.decision is not cedarpy.Decision.Deny and not found.diagnostics.errors


def _groups(cls: str) -> tuple[str, ...]:
    return (cls, "payments") if cls == "money" else (cls,)


def _of(cls: str, rules: Sequence[Rule], *, holds: bool) -> list[Rule]:
    """The rules, or the holds, that a call of this class can match at all: without those whose scope names another tool group.
    Such a policy neither speaks nor errs, since its condition is not reached."""
    def elsewhere(rule: Rule) -> bool:
        scope = rule.body["resource"]
        entity = scope.get("entity", {})
        return scope["op"] == "in" and entity.get("type") == "ToolGroup" and entity.get("id") not in _groups(cls)

    return [rule for rule in rules if (rule.requirements is not None) == holds and not elsewhere(rule)]


class _Part:
    """One half of the set, for one class of tool: its parsed handle, and which parts of the context its conditions read.

    Only those are handed to Cedar, which spends most of a decision on parsing the context.
    """

    def __init__(self, rules: Sequence[Rule], *, permit_all: bool = False) -> None:
        """Policies go in under their own ids, so that Cedar reports those and not `policyN`."""
        policies = {rule.id: rule.body for rule in rules} | ({PERMIT_ALL: EVERYTHING} if permit_all else {})
        self.handle = cedarpy.PolicySet.from_json_str(
            json.dumps({"templates": {}, "templateLinks": [], "staticPolicies": policies})
        )
        self._read = reading.context_read(policies)
        self._answers: dict[tuple[Request, str], Answer] = {}

    @property
    def counted(self) -> frozenset[str]:
        """The counters that its conditions read; all where that is not understood."""
        read = frozenset[str]() if self._read is not None and "usage" not in self._read else (self._read or {}).get("usage")
        return counters.ALL if read is None else read & counters.ALL

    def ask(self, request: Request, facts: dict[str, Any]) -> Answer:
        """An answer is a function of what is asked and of nothing else: this set of policies never changes, and time, usage and
        every other fact that a condition reads is part of the context. So one that was given is given again."""
        if self._read is not None:
            facts = {name: _below(facts[name], below) for name, below in self._read.items() if name in facts}
        text = json.dumps(facts)
        known = self._answers.get((request, text))
        if known is not None:
            return known
        found = cedarpy.is_authorized({**request.document(), "context": text}, self.handle, request.entities())
        answer = Answer(found.allowed, tuple(found.diagnostics.reasons), tuple(found.diagnostics.errors))
        if len(self._answers) >= ANSWERS:
            self._answers.clear()
        self._answers[request, text] = answer
        return answer


def _below(value: Any, names: frozenset[str] | None) -> Any:
    if names is None or not isinstance(value, dict):
        return value
    return {name: value[name] for name in names if name in value}


def _digest(rules: Sequence[Rule], settings: config.Policy, within: int) -> str:
    """Over everything that can change a verdict: rules, schema, and how facts are read."""
    body = {
        "v": 1,
        "rules": {rule.id: [rule.effect, rule.reason, _asked(rule), json.dumps(rule.body, sort_keys=True)] for rule in rules},
        "schema": hashlib.sha256(reading.SCHEMA.read_bytes()).hexdigest(),
        "settings": settings.model_dump(mode="json"),
        "within": within,
    }
    return hashlib.sha256(canonical(body)).hexdigest()


def _asked(rule: Rule) -> list[str] | None:
    return None if rule.requirements is None else [str(each) for each in rule.requirements]


def _uid(kind: str, identity: str) -> str:
    """Cedar text, which partial evaluation insists on. Only ids that need no escaping come here."""
    return f'{kind}::"{identity}"'


@lru_cache(maxsize=2048)
def _entities(person: str, groups: tuple[str, ...], server: str, tool: str, cls: str) -> cedarpy.Entities:
    """The request's own entities; nothing else is in the store, so a decision costs the same however many people there are."""
    parents = [{"type": "Server", "id": server}, *({"type": "ToolGroup", "id": kind} for kind in _groups(cls))]
    return cedarpy.Entities.from_json_str(json.dumps([
        {"uid": {"type": "Person", "id": person}, "attrs": {}, "parents": [{"type": "Group", "id": each} for each in groups]},
        {"uid": {"type": "Tool", "id": f"{server}/{tool}"}, "attrs": {}, "parents": parents},
    ]))
