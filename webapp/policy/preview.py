"""What rules would see of a sample call, in words: for the form in which an admin gives a tool its pointers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from webapp import config
from webapp.canonical import Limits, parse
from webapp.currencies import EXPONENTS
from webapp.errors import BadInput
from webapp.policy import facts
from webapp.policy.amounts import Amount

SAMPLE = Limits(bytes=8000)

Line = tuple[str, str, bool]
"""Name, value, and whether it could be read."""


def of(settings: config.Policy) -> Callable[[Mapping[str, Any], bytes, str], list[Line]]:
    """A reader of samples: `(pointers, arguments, cls)` to the facts, a line each. It raises BadInput for what is not JSON."""

    def preview(pointers: Mapping[str, Any], arguments: bytes, cls: str) -> list[Line]:
        given = parse(arguments or b"{}", SAMPLE)
        if not isinstance(given, dict):
            raise BadInput("The arguments of a call are a JSON object.")
        return list(_lines(facts.read(pointers, given, settings, cls=cls), pointers, settings.base_currency))

    return preview


def _lines(read: facts.Facts, pointers: Mapping[str, Any], base: str) -> Iterator[Line]:
    if read.amount.status != "none":
        yield _amount("Amount", read.amount, base)
    if "recipient" in pointers:
        yield _recipient(read.recipient)
    if "time" in pointers:
        yield ("Time", read.time, True) if read.time else ("Time", "is not in this sample", False)
    if read.inferred_amount:
        name, value, _ = _amount("Amount, inferred", read.inferred_amount, base)
        yield name, f"{value}; it may add a hold, never remove one", False
    if read.inferred_recipient:
        yield "Recipient, inferred", f"{read.inferred_recipient.text}; it may add a hold, never remove one", False


def _recipient(found: facts.Recipient | None) -> Line:
    if found is None:
        return "Recipient", "cannot be read, so it is never one approved before", False
    return "Recipient", found.value.replace("\n", ", "), True


def _amount(name: str, amount: Amount, base: str) -> Line:
    if amount.status != "ok":
        return name, f"cannot be read: {amount.why}. The call would be held.", False
    written = f"{decimal(amount.minor, amount.currency)} {amount.currency}"
    if amount.currency == base:
        return name, written, True
    return name, f"{written}, {decimal(amount.base_minor, base)} {base} for rules", True


def decimal(minor: int, currency: str) -> str:
    """Minor units as a plain decimal."""
    digits = EXPONENTS[currency]
    whole, rest = divmod(minor, 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)
