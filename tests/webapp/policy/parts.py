"""What the policy tests share: the shipped set, calls, and rules in a folder of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webapp.canonical import parse
from webapp.config import Policy
from webapp.policy import facts
from webapp.policy.calls import Agent, Call, Usage
from webapp.policy.counters import COUNTERS
from webapp.policy.engine import DEFAULTS, PolicySet, load

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
RATES = {"USD": "0.92", "JPY": "0.0061", "KWD": "2.98"}
SETTINGS = Policy(rates=RATES)
PIN = {
    "amount": {"pointer": "/amount", "unit": "major"},
    "currency": {"pointer": "/currency"},
    "recipient": {"pointer": "/iban", "kind": "iban"},
}
PERMIT = '@id("all") @reason("all") permit (principal, action, resource);\n'


def shipped() -> PolicySet:
    return load([DEFAULTS], SETTINGS)


def payment(amount: Any = "480.00", currency: str = "EUR", *, iban: str = "DE89370400440532013000", **fields: Any) -> Call:
    """A `money` call by the shipped pin."""
    raw = json.dumps({"amount": amount, "currency": currency, "iban": iban}).encode()
    return call(raw, cls="money", pointers=PIN, **fields)


def call(raw: bytes = b"{}", *, cls: str, pointers: Mapping[str, Any] | None = None, **fields: Any) -> Call:
    read = facts.read(pointers or {}, parse(raw), SETTINGS, cls=cls)
    given = {"person": "per_alice", "groups": ("staff",), "agent": Agent("cli_1"), "server": "bank", "tool": "send_payment"}
    return Call(**{**given, "cls": cls, "now": NOW, "facts": read, **fields})


def rules(folder: Path, **files: str) -> Path:
    """Write policy files; `a_b="…"` becomes `a_b.cedar`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.cedar").write_text(text)
    return folder


def counted(**used: int) -> Usage:
    """What was used before; of all else nothing."""
    return Usage(counts=dict.fromkeys(COUNTERS, 0) | used)
