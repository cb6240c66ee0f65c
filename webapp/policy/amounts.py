"""Amounts, read strictly: what is not beyond doubt is unknown, and unknown is held.

Attack: an amount that the rules read as small and the bank as large (`4,800.00`, `4800e0`, a fraction of a yen, another
script's digits).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Literal

from webapp.canonical import number_text
from webapp.currencies import EXPONENTS
from webapp.errors import Said, one_of_ours, said

DECIMAL = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,6}))?", re.ASCII)
CODE = re.compile(r"[A-Za-z]{3}", re.ASCII)

UNREADABLE = 10**15
"""What policy sees in place of an unknown amount: more than any readable one, so that a rule with a threshold tightens. Far
enough from 2**63 that sums with it do not overflow."""

Unit = Literal["major", "minor"]


@dataclass(frozen=True)
class Amount:
    """`minor` and `base_minor` are minor units of `currency` and of the operator's base currency (rounded up).

    `unknown`: there is an amount, or there should be one, but it cannot be read (`why` says why): both are UNREADABLE then.
    `none`: the tool has no amount. `text` is what was written.
    """

    status: Literal["ok", "unknown", "none"]
    minor: int = UNREADABLE
    currency: str = ""
    base_minor: int = UNREADABLE
    text: str = ""
    why: str = ""


NONE = Amount("none", minor=0, base_minor=0)


class Unreadable(Exception):
    """Why an amount is unknown, for the approver to read."""

    def __init__(self, why: Said) -> None:
        super().__init__(why)
        self.why = why


TOO_LARGE = said("the amount is too large to be one")
ISO_CODE = re.compile("[A-Z]{3}", re.ASCII)


def _decimals(code: str) -> Said:
    return said("the amount has more decimals than %(code)s has", code=code)


def _no_rate(code: str) -> Said:
    return said("the operator gave no rate for %(code)s", code=code)


def why_said(text: str) -> Said:
    """The `why` of an amount as a document has it, to be shown in its reader's language."""
    made = (words(code) for code in ISO_CODE.findall(text) for words in (_decimals, _no_rate))
    return next((one for one in made if one == text), one_of_ours(text))


def read(value: Any, currency: Any, *, unit: Unit, base: str, rates: Mapping[str, str]) -> Amount:
    """An amount as written in the call. `value` is a parsed JSON number that kept its text, or a string."""
    text = _text(value)
    try:
        code = _code(currency)
        minor = _minor(text, code, unit)
        return Amount("ok", minor, code, _in_base(minor, code, base, rates), text or "")
    except Unreadable as reason:
        return Amount("unknown", text=(text or "")[:60], why=reason.why)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else number_text(value)


def _code(value: Any) -> str:
    if not isinstance(value, str) or not CODE.fullmatch(value) or value.upper() not in EXPONENTS:
        raise Unreadable(said("the currency is missing or is not one of ISO 4217"))
    return value.upper()


def _minor(text: str | None, code: str, unit: Unit) -> int:
    match = DECIMAL.fullmatch(text) if text is not None else None
    if match is None:
        raise Unreadable(said("the amount is not a plain decimal number"))
    whole, fraction = match[1], match[2] or ""
    digits = EXPONENTS[code] if unit == "major" else 0
    if len(fraction) > digits:
        raise Unreadable(_decimals(code))
    minor = int(whole + fraction + "0" * (digits - len(fraction)))
    if minor == 0:
        raise Unreadable(said("the amount is zero, which some services take for all of it"))
    if minor >= UNREADABLE:
        raise Unreadable(TOO_LARGE)
    return minor


def _in_base(minor: int, code: str, base: str, rates: Mapping[str, str]) -> int:
    """Rounded up: an amount a fraction above a limit is above it."""
    major = Fraction(minor, 10 ** EXPONENTS[code])
    converted = math.ceil(major * _rate(code, base, rates) * Fraction(10) ** EXPONENTS[base])
    if converted >= UNREADABLE:
        raise Unreadable(TOO_LARGE)
    return converted


def _rate(code: str, base: str, rates: Mapping[str, str]) -> Fraction:
    if code == base:
        return Fraction(1)
    if code not in rates:
        raise Unreadable(_no_rate(code))
    return parse_rate(rates[code])


def parse_rate(text: str) -> Fraction:
    """Units of the base currency for one of another, as a decimal in text. Raises Unreadable."""
    try:
        rate = Decimal(text)
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or not Decimal("1e-9") <= rate <= Decimal("1e9"):
        raise Unreadable(said("the operator's rate is not a positive number"))
    return Fraction(rate)
