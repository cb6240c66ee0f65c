"""What a call is about: amount, recipient, time, read from its arguments where the tool's pin says they are. Pure.

The pin's pointers, given by an admin, each of them optional: `{"amount": {"pointer", "unit": "major" | "minor"},
"currency": {"pointer"} | {"is": "EUR"}, "recipient": {"pointer", "kind": "iban" | "email" | "url" | "text"},
"time": {"pointer"}}`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from webapp.canonical import number_text
from webapp.config import Policy
from webapp.errors import said
from webapp.policy import amounts, pointer
from webapp.policy.amounts import NONE, Amount

Kind = Literal["iban", "email", "url", "text"]
Pointers = Mapping[str, Mapping[str, str]]

KINDS: tuple[Kind, ...] = ("iban", "email", "url", "text")
MANY = 50
LONGEST = 1000
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

AMOUNT_NAMES = ("amount",)
CURRENCY_NAMES = ("currency", "currency_code", "currencyCode")
RECIPIENT_NAMES = ("recipient", "payee", "beneficiary", "iban", "to")


@dataclass(frozen=True)
class Recipient:
    """`value` is normalised, the same for all spellings of one recipient; `text` is what was written. Several recipients of
    one call are one value: all of them, sorted."""

    value: str
    kind: Kind
    text: str


@dataclass(frozen=True)
class Facts:
    """Facts by the pin, and beside them facts that were only inferred from argument names: those may add a hold, never
    remove one."""

    amount: Amount = NONE
    recipient: Recipient | None = None
    time: str = ""
    """As written in the arguments, for the page; the time of the call is another thing."""
    inferred_amount: Amount | None = None
    inferred_recipient: Recipient | None = None


def read(pointers: Pointers, arguments: Mapping[str, Any], settings: Policy, *, cls: str = "destroy") -> Facts:
    """The facts of a call. `arguments` come from `webapp.canonical.parse`, so that numbers still know how they were written.

    A `money` tool without an amount pointer has an unknown amount, not none.
    """
    recipient = _recipient(pointers, arguments)
    return Facts(
        amount=_amount(pointers, arguments, settings, cls),
        recipient=recipient,
        time=_written(_at(arguments, pointers.get("time", {}).get("pointer"))),
        inferred_amount=_inferred_amount(pointers, arguments, settings, cls),
        inferred_recipient=_inferred_recipient(arguments, cls) if "recipient" not in pointers else None,
    )


def _at(arguments: Mapping[str, Any], where: str | None) -> Any:
    if where is None:
        return None
    try:
        return pointer.resolve(arguments, where)
    except (pointer.Absent, ValueError):
        return None


def _amount(pointers: Pointers, arguments: Mapping[str, Any], settings: Policy, cls: str) -> Amount:
    pin = pointers.get("amount")
    if pin is None:
        return Amount("unknown", why=said("nobody said where this tool's amount is")) if cls == "money" else NONE
    currency = pointers.get("currency", {})
    code = currency["is"] if "is" in currency else _at(arguments, currency.get("pointer"))
    unit = pin.get("unit")
    if unit not in ("major", "minor"):
        return Amount("unknown", why=said("nobody said in which unit this tool's amount is"))
    return amounts.read(
        _at(arguments, pin.get("pointer")), code, unit=cast(amounts.Unit, unit), base=settings.base_currency, rates=settings.rates
    )


def _inferred_amount(pointers: Pointers, arguments: Mapping[str, Any], settings: Policy, cls: str) -> Amount | None:
    """An argument that calls itself an amount, where the pin names none. Only a readable one says anything."""
    if "amount" in pointers or cls == "read":
        return None
    value = next((arguments[name] for name in AMOUNT_NAMES if name in arguments), None)
    code = next((arguments[name] for name in CURRENCY_NAMES if name in arguments), None)
    found = amounts.read(value, code, unit="major", base=settings.base_currency, rates=settings.rates)
    return found if found.status == "ok" else None


def _recipient(pointers: Pointers, arguments: Mapping[str, Any]) -> Recipient | None:
    pin = pointers.get("recipient")
    if pin is None:
        return None
    kind = pin.get("kind", "text")
    return recipient(_at(arguments, pin.get("pointer")), kind if kind in KINDS else "text")


def _inferred_recipient(arguments: Mapping[str, Any], cls: str) -> Recipient | None:
    if cls == "read":
        return None
    return recipient(next((arguments[name] for name in RECIPIENT_NAMES if name in arguments), None), "text")


def recipient(value: Any, kind: Kind) -> Recipient | None:
    """A recipient, or None when there is none that can be compared: then it was never approved before."""
    several = value if isinstance(value, list) else [value]
    if not 0 < len(several) <= MANY or not all(isinstance(each, str) and 0 < len(each) <= LONGEST for each in several):
        return None
    normal = sorted({normalise(each, kind) for each in several})
    if not all(normal):
        return None
    return Recipient("\n".join(normal), kind, ", ".join(several))


def normalise(text: str, kind: Kind) -> str:
    """One spelling for one recipient: what differs only in spelling compares equal, and nothing else does.

    A text that does not fit its kind is kept as it is, trimmed: two different strangers must never become one recipient.
    Folding look-alikes (NFKC) is not done here for the same reason.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if kind == "iban":
        compact = text.replace(" ", "").upper()
        return compact if text.isascii() and IBAN.fullmatch(compact) else text
    if kind == "email" and EMAIL.fullmatch(text):
        name, _, host = text.rpartition("@")
        return f"{name}@{_lower(host)}"
    return _url(text) if kind == "url" else text


def _lower(text: str) -> str:
    """ASCII only: other scripts' case mappings merge letters that differ."""
    return text.lower() if text.isascii() else text


def _url(text: str) -> str:
    """RFC 3986 section 6.2.2.1: scheme and host are case-insensitive. Path and query are kept: they may name the recipient."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if not parts.scheme or not parts.netloc:
        return text
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{_lower(host)}", fragment="").geturl()


def _written(value: Any) -> str:
    return value[:200] if isinstance(value, str) else number_text(value) or ""
