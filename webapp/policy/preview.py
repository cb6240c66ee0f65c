"""What rules would see of a sample call, in words: for the form in which an admin gives a tool its pointers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from webapp import config
from webapp.canonical import Limits, parse
from webapp.currencies import EXPONENTS
from webapp.errors import BadInput, psaid, said
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
        yield _amount(said("Amount"), read.amount, base)
    if "recipient" in pointers:
        yield _recipient(read.recipient)
    if "time" in pointers:
        time = psaid("an argument that is a time", "Time")
        yield (time, read.time, True) if read.time else (time, said("is not in this sample"), False)
    if read.inferred_amount:
        name, value, _ = _amount(said("Amount, inferred"), read.inferred_amount, base)
        yield name, said("%(value)s; it may add a hold, never remove one", value=value), False
    if read.inferred_recipient:
        text = read.inferred_recipient.text
        yield said("Recipient, inferred"), said("%(value)s; it may add a hold, never remove one", value=text), False


def _recipient(found: facts.Recipient | None) -> Line:
    if found is None:
        return said("Recipient"), said("cannot be read, so it is never one approved before"), False
    return said("Recipient"), found.value.replace("\n", ", "), True


def _amount(name: str, amount: Amount, base: str) -> Line:
    if amount.status != "ok":
        return name, said("cannot be read: %(why)s. The call would be held.", why=amount.why), False
    written = f"{decimal(amount.minor, amount.currency)} {amount.currency}"
    if amount.currency == base:
        return name, written, True
    in_base = f"{decimal(amount.base_minor, base)} {base}"
    return name, said("%(amount)s, %(base)s for rules", amount=written, base=in_base), True


def decimal(minor: int, currency: str) -> str:
    """Minor units as a plain decimal."""
    digits = EXPONENTS[currency]
    whole, rest = divmod(minor, 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)
