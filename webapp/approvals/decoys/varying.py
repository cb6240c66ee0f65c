"""How a decoy differs from the call that it is made after: in what somebody who looks would not let pass. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

from webapp.approvals.edit_form import Field

TIMES = (8, 10, 12, 15, 20)
POINTER = re.compile(r"/((?:[^/~]|~[01])+)")
DIGITS = 15
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)


def typed(fields: Sequence[Field], facts: Mapping[str, Any], chosen: Random) -> dict[str, str] | None:
    """The form of an edit (`edit_form.read`) in which one fact is another: a recipient that looks like the one who is paid, or an
    amount many times as large. None where the call has neither in an argument of its own."""
    places = {
        name: field for name in ("recipient", "amount") for field in fields
        if field.given and field.argument == _argument(facts, name) and field.kind in ("text", "number")
    }
    changed = {
        field.name: value for name, field in places.items()
        if (value := recipient(field.text, chosen) if name == "recipient" else amount(field.text, chosen)) is not None
    }
    if not changed:
        return None
    one = chosen.choice(sorted(changed))
    given = [field for field in fields if field.given]
    return {**{field.name: field.text for field in given}, **{f"{field.name}-given": "1" for field in given}, one: changed[one]}


def _argument(facts: Mapping[str, Any], name: str) -> str | None:
    pointer = ((facts.get("pointers") or {}).get(name) or {}).get("pointer", "")
    found = POINTER.fullmatch(pointer)
    return found.group(1).replace("~1", "/").replace("~0", "~") if found else None


def recipient(text: str, chosen: Random) -> str | None:
    """Two neighbours in the second half of it change places; of an account number the check digits are right again."""
    pairs = [
        at for at in range(len(text) // 2, len(text) - 1)
        if text[at] != text[at + 1] and text[at].isalnum() and text[at + 1].isalnum()
    ]
    if not pairs:
        return None
    at = chosen.choice(pairs)
    made = text[:at] + text[at + 1] + text[at] + text[at + 2:]
    return _checked(made) if IBAN.fullmatch("".join(text.split())) else made


def _checked(text: str) -> str:
    """ISO 13616: the number moved behind its country and check digits is 1 modulo 97."""
    bare = "".join(text.split())
    left = int("".join(str(int(char, 36)) for char in bare[4:] + bare[:2] + "00")) % 97
    spaced = iter(f"{bare[:2]}{98 - left:02d}{bare[4:]}")
    return "".join(char if char.isspace() else next(spaced) for char in text)


def amount(text: str, chosen: Random) -> str | None:
    """As many decimals as before."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number <= 0 or "e" in text.lower() or len(text) > DIGITS:
        return None
    return format(number * chosen.choice(TIMES), "f")
