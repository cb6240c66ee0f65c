"""What Ledger Desk can be asked to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from vault.said import said

Report = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Scenario:
    """One tool call. `outcome` names the step that its result becomes, `report` puts the result in words (or "")."""

    label: str
    does: str
    tool: str
    outcome: str
    report: Report
    arguments: Mapping[str, str] = field(default_factory=dict)


def _balance(result: Mapping[str, Any]) -> str:
    return f"{result['account']}: {_grouped(result['balance'])} {result['currency']}" if "balance" in result else ""


def _grouped(amount: str) -> str:
    """`42163.80` as `42,163.80`."""
    return f"{Decimal(amount):,}"


def _receipt(result: Mapping[str, Any]) -> str:
    if "receipt" not in result:
        return ""
    amount = f"{_grouped(result['amount'])} {result['currency']}"
    return said(
        "Receipt %(receipt)s: %(amount)s to %(payee)s, %(reference)s.",
        receipt=result["receipt"], amount=amount, payee=result["payee"], reference=result["reference"],
    )


def _payment(amount: str, reference: str, label: str, does: str) -> Scenario:
    order = {
        "amount": amount, "currency": "EUR", "iban": "DE89370400440532013000", "payee": "Nordlicht Energie GmbH",
        "reference": reference,
    }
    return Scenario(label, does, "send_payment", "receipt", _receipt, order)


SCENARIOS: dict[str, Scenario] = {
    "balance": Scenario(said("Check the balance"), said("It calls get_balance."), "get_balance", "balance", _balance),
    "pay-small": _payment(
        "480.00", "RE-2026-1088", said("Pay 480.00 EUR"),
        said("It calls send_payment: 480.00 EUR to Nordlicht Energie GmbH."),
    ),
    "pay-large": _payment(
        "4800.00", "RE-2026-1142", said("Pay 4,800.00 EUR"),
        said("It calls send_payment: 4,800.00 EUR to Nordlicht Energie GmbH."),
    ),
}
