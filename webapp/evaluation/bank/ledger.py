"""What the bank does with money. Every function takes an open transaction; amounts come in as decimals in text."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

DECIMAL = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?")
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
TEXT_LENGTH = 140


class Refused(Exception):
    """The bank will not do it. `code` is stable, the message is for the customer."""

    def __init__(self, code: str, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Order:
    """A payment order, checked: minor units, a valid IBAN without spaces."""

    amount_minor: int
    currency: str
    iban: str
    payee: str
    reference: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()


def major(minor: int) -> str:
    """`48000` as `480.00`."""
    return f"{minor // 100}.{minor % 100:02d}"


def when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def valid_iban(iban: str) -> bool:
    """ISO 13616: rearranged and read as a number, an IBAN leaves 1 modulo 97."""
    if not IBAN.fullmatch(iban):
        return False
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 == 1


def _amount(text: Any) -> int:
    found = DECIMAL.fullmatch(text) if isinstance(text, str) else None
    minor = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else 0
    if minor <= 0:
        raise Refused("bad_amount", "The amount must be a positive decimal with at most two decimals, like 480.00.")
    return minor


def _words(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_LENGTH:
        raise Refused("bad_order", f"The order needs a {name} of at most {TEXT_LENGTH} characters.")
    return " ".join(value.split())


def read_order(document: Any) -> Order:
    """Check an order before any money is looked at. Raises Refused."""
    if not isinstance(document, dict):
        raise Refused("bad_order", "A payment order is a JSON object.")
    iban = _words(document, "iban").replace(" ", "").upper()
    if not valid_iban(iban):
        raise Refused("bad_iban", "This is not a valid IBAN.")
    return Order(_amount(document.get("amount")), _words(document, "currency").upper(), iban,
                 _words(document, "payee"), _words(document, "reference"))


def balance(work: sqlite3.Connection, account: str) -> dict[str, Any]:
    row = work.execute("SELECT * FROM accounts WHERE id = ?", (account,)).fetchone()
    return {"account": row["name"], "iban": row["iban"], "balance": major(row["balance_minor"]), "currency": row["currency"]}


def payees(work: sqlite3.Connection, account: str) -> list[dict[str, Any]]:
    rows = work.execute("SELECT * FROM payees WHERE account = ? ORDER BY last_paid DESC", (account,))
    return [
        {"name": row["name"], "iban": row["iban"], "payments": row["paid"], "last_paid": when(row["last_paid"])} for row in rows
    ]


def receipt(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "receipt": f"HB-{row['number']:06d}", "status": "executed", "amount": major(row["amount_minor"]),
        "currency": row["currency"], "payee": row["payee"], "iban": row["iban"], "reference": row["reference"],
        "executed_at": when(row["at"]),
    }


def pay(work: sqlite3.Connection, account: str, order: Order, *, key: str | None, now: float) -> dict[str, Any]:
    """Execute an order and return its receipt. The same `key` executes once: again, it returns the first receipt; with
    another order it is refused (409)."""
    earlier = work.execute("SELECT * FROM payments WHERE account = ? AND idempotency_key = ?", (account, key)).fetchone()
    if earlier is not None:
        if earlier["fingerprint"] != order.fingerprint:
            raise Refused("key_reused", "This idempotency key was used for another payment.", 409)
        return receipt(earlier)
    _debit(work, account, order)
    number = work.execute(
        "INSERT INTO payments (account, idempotency_key, fingerprint, amount_minor, currency, iban, payee, reference, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (account, key, order.fingerprint, order.amount_minor, order.currency, order.iban, order.payee, order.reference, int(now)),
    ).lastrowid
    work.execute(
        "INSERT INTO payees VALUES (?, ?, ?, 1, ?) ON CONFLICT (account, iban) DO UPDATE SET paid = paid + 1, last_paid = ?",
        (account, order.iban, order.payee, int(now), int(now)),
    )
    return receipt(work.execute("SELECT * FROM payments WHERE number = ?", (number,)).fetchone())


def _debit(work: sqlite3.Connection, account: str, order: Order) -> None:
    row = work.execute("SELECT currency, iban FROM accounts WHERE id = ?", (account,)).fetchone()
    if order.currency != row["currency"]:
        raise Refused("bad_currency", f"This account pays in {row['currency']} only.")
    if order.iban == row["iban"]:
        raise Refused("same_account", "An account cannot pay itself.")
    done = work.execute(
        "UPDATE accounts SET balance_minor = balance_minor - ? WHERE id = ? AND balance_minor >= ?",
        (order.amount_minor, account, order.amount_minor),
    )
    if done.rowcount != 1:
        raise Refused("insufficient_funds", "The account does not hold enough for this payment.")


def statement(work: sqlite3.Connection, account: str, limit: int = 20) -> list[dict[str, Any]]:
    rows = work.execute("SELECT * FROM payments WHERE account = ? ORDER BY number DESC LIMIT ?", (account, limit))
    return [receipt(row) for row in rows]
