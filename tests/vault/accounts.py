"""What the tests of accounts and tokens share: connecting one in the keeper, minting, and evidence for a held action."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

from tests.scripted_provider import Scripted
from vault import accounts, connecting, grants, people
from vault.authority import keys
from vault.evidence import canonical, digest
from vault.table import Keeper

COUNT = itertools.count(1)
READ = ("accounts:read",)
PAY = ("payments:send",)
ALL = ("accounts:read", "payees:read", "payments:send")
OWNER = "per_owner"


def name_of(kind: str) -> str:
    """A new id: the vault is shared by all tests of a session."""
    return f"{kind}_{next(COUNT)}test"


def connected(keeper: Keeper, provider: Scripted, *, entry: str = "harbour", person: str = OWNER, **record: Any) -> str:
    """A connection at the scripted provider, with consent given."""
    accounts.provider_put(keeper, {"name": entry, "record": provider.record(**record)})
    connection = name_of("con")
    finish(keeper, provider, connection, entry=entry, person=person)
    return connection


def finish(
    keeper: Keeper, provider: Scripted, connection: str, *, entry: str = "harbour", person: str = OWNER, **more: Any
) -> dict[str, Any]:
    begun = connecting.connect_begin(
        keeper,
        {"provider": entry, "person": person, "redirect_uri": "http://localhost:8000/connections/callback", "scopes": list(ALL)}
    )
    return dict(connecting.connect_finish(keeper, {
        "connection": connection, "person": person, "sealed": begun["sealed"], "state": begun["state"], "code": "a-code",
        "iss": provider.url, **more,
    }))


def mint(keeper: Keeper, connection: str, scopes: tuple[str, ...] = READ, **more: Any) -> dict[str, Any]:
    asked = {"connection": connection, "person": OWNER, "scopes": list(scopes), "receiver": "bank", "cap": 300}
    return dict(grants.mint(keeper, {**asked, **more}))


def stored(keeper: Keeper, connection: str) -> dict[str, Any]:
    found = keeper.kv.read(f"connections/{connection}")
    assert found is not None
    return found.data


def envelope(keeper: Keeper, connection: str, **changes: Any) -> dict[str, Any]:
    """A held payment of the connection's owner."""
    record, now = stored(keeper, connection), keeper.clock().replace(microsecond=0)
    made: dict[str, Any] = {
        "v": 1, "action": name_of("act"),
        "server": {"name": "bank", "url": "http://127.0.0.1:1/mcp", "manifest": "m"},
        "tool": {"name": "send_payment", "pin": "p", "title": "Send a payment", "cls": "money"},
        "arguments": {"amount": "4800.00"}, "principal": {"person": OWNER, "name": "Owner"},
        "client": {"id": "cli_1", "grant": "gra_1", "name": "Ledger Desk", "owner": OWNER},
        "connection": {
            "id": connection, "owner": OWNER, "provider": record["provider"], "account": record["account"],
            "label": record["label"],
        },
        "scopes": list(PAY), "facts": {}, "reasons": [{"rule": "large-payment", "text": "Large"}],
        "requirement": [{"kind": "approvers", "group": "finance", "quorum": 1, "factor": "", "rule": "large-payment"}],
        "policy": "d", "created_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expires_at": (now + timedelta(hours=4)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {**made, **changes}


def approver(keeper: Keeper, groups: tuple[str, ...] = ("finance",)) -> str:
    who = name_of("per")
    people.record(keeper, people.Person(who, "https://idp.test", who, "Approver", "a@idp.test", groups, keeper.clock()))
    return who


def evidence(keeper: Keeper, of: dict[str, Any], person: str, **changes: Any) -> dict[str, Any]:
    """Signed with the keeper's real authority key: what its `decide` would have signed after checking a factor."""
    raw = canonical(of)
    body = {
        "v": 1, "kind": "decision", "action": of["action"], "digest": digest(raw), "person": person, "name": "Approver",
        "groups": ["finance"],
        "verdict": "approve", "reason": "", "factor": {"id": "fac_1", "kind": "passkey", "created_at": "2026-01-01T00:00:00Z"},
        "nonce": "n", "at": keeper.clock().strftime("%Y-%m-%dT%H:%M:%SZ"), **changes,
    }
    signed = canonical(body)
    assert keys(keeper)
    return {
        "envelope": raw.decode(), "statements": [{"body": signed.decode(), "signature": keeper.transit.sign("authority", signed)}]
    }


def everything(keeper: Keeper, connection: str) -> str:
    return json.dumps(stored(keeper, connection))
