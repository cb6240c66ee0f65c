"""An envelope to decide on, and statements as the keeper would sign them, under a key of the tests' own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vault import decided
from vault.evidence import Need, Statement, canonical

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
KEYS = {1: KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)}
PRINCIPAL, OWNER, AGENT_OWNER = "per_principal", "per_owner", "per_agentowner"


def confirm(factor: str = "") -> Need:
    return {"kind": "confirm", "group": "", "quorum": 1, "factor": factor, "rule": "money"}  # type: ignore[typeddict-item]


def approvers(group: str, quorum: int = 1, factor: str = "") -> Need:
    return {"kind": "approvers", "group": group, "quorum": quorum, "factor": factor, "rule": group}  # type: ignore[typeddict-item]


def envelope(*needs: Need, now: datetime = NOW, **changes: Any) -> bytes:
    """Canonical bytes. The principal, the account's owner and the agent's owner are three persons, unless changed."""
    document: dict[str, Any] = {
        "v": 1, "action": "act_one", "server": {"name": "bank", "url": "http://127.0.0.1:1/mcp", "manifest": "m" * 64},
        "tool": {"name": "send_payment", "pin": "p" * 64, "title": "Send a payment", "cls": "money"},
        "arguments": {"amount": "4800.00", "currency": "EUR", "to": "Ørsted & Søn"},
        "principal": {"person": PRINCIPAL, "name": "Ada"},
        "client": {"id": "cli_a", "grant": "gra_a", "name": "Agent", "owner": AGENT_OWNER},
        "connection": {"id": "con_a", "owner": OWNER, "provider": "harbour", "account": "42", "label": "Household"},
        "scopes": ["payments"], "facts": {}, "reasons": [{"rule": "money", "text": "Money"}], "requirement": list(needs),
        "policy": "d" * 64, "created_at": decided.stamp(now), "expires_at": decided.stamp(now + timedelta(hours=4)),
    }
    return canonical({**document, **changes})


def statement(raw: bytes, person: str, verdict: str = "approve", *, key: Ed25519PrivateKey = KEY, **changes: Any) -> Statement:
    """Signed as the keeper signs. `changes` replace fields of the body before it is signed."""
    body: dict[str, Any] = {
        "v": 1, "kind": "decision", "action": "act_one", "digest": _digest(raw), "person": person, "name": person,
        "groups": ["finance"], "verdict": verdict, "reason": "",
        "factor": {"id": "fac_1", "kind": "passkey", "created_at": decided.stamp(NOW - timedelta(days=30))}, "nonce": person,
        "at": decided.stamp(NOW),
    }
    return signed({**body, **changes}, key)


def signed(body: Mapping[str, Any], key: Ed25519PrivateKey = KEY) -> Statement:
    text = canonical(dict(body))
    return Statement(text.decode(), "vault:v1:" + base64.b64encode(key.sign(text)).decode())


def _digest(raw: bytes) -> str:
    from vault.evidence import digest

    return digest(raw)
