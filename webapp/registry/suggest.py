"""What to pre-fill an approval form with, guessed from names and hints that the server chose: a suggestion for a person,
labelled as inferred, and never a decision. Pure.

Where two classes fit, the worse one is suggested; a hint that praises a tool (`readOnlyHint`) suggests nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webapp.errors import said
from webapp.registry.rules import Approval, Pointers

WORDS: Mapping[str, str] = {
    "money": """pay payment payments payout transfer transfers refund charge withdraw withdrawal purchase buy checkout donate wire
        invoice deposit trade sell""",
    "destroy": """delete remove drop destroy purge wipe truncate cancel revoke terminate erase reset uninstall kill close exec
        execute run shell command eval deploy""",
    "send": """send post publish share invite email mail message notify reply comment tweet submit upload forward call sms
        broadcast webhook""",
    "write": """create update add set edit write put patch rename move save upsert insert assign label tag append modify mark
        archive copy start stop""",
    "read": "get list read search find fetch show describe query view lookup count check browse info status help echo",
}
KNOWN = {cls: frozenset(words.split()) for cls, words in WORDS.items()}
WORST_FIRST = ("money", "destroy", "send", "write")

AMOUNTS = ("amount", "amount_minor", "amount_cents", "total", "price", "value")
CURRENCIES = ("currency", "currency_code", "currencyCode")
RECIPIENTS: Mapping[str, str] = {
    "iban": "iban", "payee_iban": "iban", "to_iban": "iban", "email": "email", "to_email": "email", "recipient_email": "email",
    "webhook": "url", "webhook_url": "url", "callback_url": "url",
    "recipient": "text", "payee": "text", "beneficiary": "text", "to": "text", "channel": "text", "destination": "text",
}
TIMES = ("scheduled_at", "execute_at", "execution_date", "start_time", "start", "when", "date")
OUTSIDE = (
    "email", "emails", "mail", "mails", "inbox", "message", "messages", "web", "page", "pages", "url", "site", "issue", "issues",
    "ticket", "tickets", "comment", "comments", "feed", "news",
)
CHANGES = ("payee", "payees", "recipient", "recipients", "beneficiary", "beneficiaries", "contact", "contacts")


@dataclass(frozen=True)
class Suggestion:
    """`because` says what each guess came from, for the person to judge."""

    approval: Approval
    because: tuple[str, ...]


def suggest(listed: Mapping[str, Any]) -> Suggestion:
    """A class, pointers and a flag for a tool as listed."""
    fields = _fields(listed)
    pointers, reasons = _pointers(fields)
    words = _words(str(listed.get("name", "")))
    cls, why = _class(words, listed.get("annotations"), pointers)
    changes = cls != "read" and any(word in CHANGES for word in words) and not ({"pay", "send", "transfer"} & set(words))
    outside = _outside(words, listed.get("annotations"))
    marks = (outside,) if outside else ()
    return Suggestion(Approval(cls, pointers, changes_recipients=changes, outside=bool(outside)), (why, *reasons, *marks))


def _outside(words: list[str], hints: Any) -> str:
    """Why it may bring in what strangers write; empty where nothing says so."""
    if isinstance(hints, Mapping) and hints.get("openWorldHint") is True:
        return "brings in what others write: the server says that it reaches beyond itself"
    found = next((word for word in words if word in OUTSIDE), None) if words and words[0] in KNOWN["read"] else None
    return f"brings in what others write: its name says “{found}”" if found else ""


def _words(name: str) -> list[str]:
    """`sendPayment`, `send_payment` and `bank.send-payment` alike."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]


def _class(words: list[str], hints: Any, pointers: Pointers) -> tuple[str, str]:
    notes = hints if isinstance(hints, Mapping) else {}
    warned = notes.get("destructiveHint") is True or notes.get("readOnlyHint") is False
    if words and words[0] in KNOWN["read"] and not warned:
        return "read", said("class: its name begins with “%(word)s”", word=words[0])
    if {"amount", "currency"} <= pointers.keys():
        return "money", said("class: it takes an amount and a currency")
    for cls in WORST_FIRST:
        found = next((word for word in words if word in KNOWN[cls]), None)
        if found is not None:
            if cls in ("send", "write") and notes.get("destructiveHint") is True:
                return "destroy", said("class: the server says that it destroys")
            return cls, said("class: its name says “%(word)s”", word=found)
    return "destroy", said("class: nothing in its name says what it does")


def _fields(listed: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = listed.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _pointers(fields: Mapping[str, Any]) -> tuple[Pointers, list[str]]:
    pointers: Pointers = {}
    reasons: list[str] = []

    def take(fact: str, name: str | None, **more: str) -> None:
        if name is not None:
            pointers[fact] = {"pointer": f"/{name}", **more}
            reasons.append(said("%(fact)s: there is an argument named “%(name)s”", fact=fact, name=name))

    amount = _first(fields, AMOUNTS, ("string", "number", "integer"))
    currency = _first(fields, CURRENCIES, ("string",))
    if amount is not None and (currency is not None or amount.startswith("amount")):
        take("amount", amount, unit="minor" if amount.endswith(("minor", "cents")) else "major")
        take("currency", currency)
    recipient = _first(fields, tuple(RECIPIENTS), ("string", "array"))
    take("recipient", recipient, **({"kind": RECIPIENTS[recipient]} if recipient else {}))
    take("time", _first(fields, TIMES, ("string",)))
    return pointers, reasons


def _first(fields: Mapping[str, Any], names: tuple[str, ...], kinds: tuple[str, ...]) -> str | None:
    for name in names:
        field = fields.get(name)
        if isinstance(field, Mapping) and field.get("type", "string") in kinds:
            return name
    return None
