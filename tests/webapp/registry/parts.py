"""What the registry tests share: listings, and a bank with approved tools."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.audit.tables import Entry
from webapp.db import Database
from webapp.registry import digest, seed
from webapp.registry.rules import Approval

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
URL = "https://bank.example/mcp"

PAY: dict[str, Any] = {
    "name": "send_payment", "title": "Send a payment", "description": "Send money to a payee.",
    "inputSchema": {
        "type": "object", "required": ["amount"],
        "properties": {"amount": {"type": "string"}, "currency": {"type": "string"}, "iban": {"type": "string"}},
    },
    "annotations": {"destructiveHint": True},
}
BALANCE: dict[str, Any] = {
    "name": "get_balance", "description": "The balance.", "inputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}
POINTERS: dict[str, Any] = {
    "amount": {"pointer": "/amount", "unit": "major"}, "currency": "/currency", "recipient": {"pointer": "/iban", "kind": "iban"},
}
MONEY = Approval("money", POINTERS, provider="bank", scopes=("payments",))
READ = Approval("read", provider="bank", scopes=("accounts",))


def listed(*tools: dict[str, Any]) -> list[dict[str, Any]]:
    return copy.deepcopy(list(tools or (PAY, BALANCE)))


def changed(tool: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(tool), **fields}


def put(session: Session, **fields: Any) -> str:
    """The bank, both tools approved."""
    given = {
        "name": "bank", "url": URL, "title": "Harbour Bank", "listed": listed(), "now": NOW, "provider": "bank",
        "approvals": {"send_payment": MONEY, "get_balance": READ},
    }
    return seed.put(session, **{**given, **fields})


def seen(tool: dict[str, Any]) -> str:
    """The digest that a form for this listing carries."""
    return digest.of(digest.description(tool))


def entries(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Entry.kind).order_by(Entry.id)))
