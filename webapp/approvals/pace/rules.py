"""Pure: how fast is too fast, what is asked for then, and whether what was typed is that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from webapp.approvals.envelope import Document
from webapp.config_approvals import Approvals
from webapp.currencies import EXPONENTS
from webapp.errors import BadInput, said

Kind = Literal["amount", "recipient", "tool"]
LAST = 4
LONGEST = 200
BANDS = (0, 100_00, 1_000_00, 10_000_00)
"""Where a band of sizes begins, in minor units of a base currency with two decimals; 0 is the band of no amount."""
LIMITS = (2, 5, 10, 30, 120)
"""Where a class of times ends, in seconds; what was never opened is a class after the last."""
NOT_A_FIGURE = re.compile(r"^[^0-9\-]*|[^0-9]*$")
FIGURE = re.compile(r"(-?)([0-9]+(?:[.,][0-9]+)*)", re.ASCII)
SEPARATORS = {ord("٫"): ".", ord("٬"): None, ord("'"): None, ord("’"): None, ord("_"): None, ord("−"): "-"}


@dataclass(frozen=True)
class Decided:
    """One decision of a person, as the server saw it."""

    at: datetime
    verdict: str
    quick: bool


@dataclass(frozen=True)
class Detail:
    """What is to be typed, and what would be right: never shown beside each other."""

    kind: Kind
    minor: int = 0
    exponent: int = 2
    text: str = ""


def is_quick(opened_at: datetime | None, now: datetime, settings: Approvals) -> bool:
    """Who decides on what the server never showed them was quick."""
    return opened_at is None or now - opened_at < timedelta(seconds=settings.quick_seconds)


def in_a_row(last: Sequence[Decided], now: datetime, settings: Approvals) -> bool:
    """Whether the last `quick_row` decisions (the latest first) were approvals, each quick, and all within `quick_within`."""
    row, since = last[:settings.quick_row], now - timedelta(seconds=settings.quick_within)
    return 0 < settings.quick_row <= len(row) and all(one.quick and one.verdict != "reject" and one.at >= since for one in row)


def band(base_minor: int | None) -> int:
    return 0 if base_minor is None else sum(abs(base_minor) >= start for start in BANDS)


def place(seconds: int | None) -> int:
    return len(LIMITS) + 1 if seconds is None else sum(seconds >= end for end in LIMITS)


def detail_of(document: Document) -> Detail:
    """The amount or the recipient's last four, one or the other by the document's digest, so that nobody types what they always
    do; where it has neither, the tool."""
    amount: Mapping[str, Any] = document.envelope["facts"].get("amount") or {}
    known: list[Detail] = []
    if amount.get("status") == "ok" and amount.get("currency") in EXPONENTS:
        known.append(Detail("amount", int(amount["minor"]), EXPONENTS[amount["currency"]]))
    if len(bare(document.recipient_shown)) >= LAST:
        known.append(Detail("recipient", text=bare(document.recipient_shown)))
    if not known:
        return Detail("tool", text=bare(document.envelope["tool"]["name"]))
    return known[int(document.digest[-1], 16) % len(known)]


def check(detail: Detail, typed: str) -> None:
    """Raises BadInput that says what is wrong with it, and not what would be right."""
    if not typed.strip() or len(typed) > LONGEST:
        raise BadInput("You said yes to several in a short time. Type what is asked for below, as this page shows it.")
    if detail.kind == "amount":
        read = figures(typed, detail.exponent)
        if not read:
            raise BadInput("What you typed cannot be read as an amount. Type it in digits, as this page shows it.")
        if detail.minor not in read:
            raise BadInput("What you typed is not the amount of this action. Look at the amount again.")
    elif detail.kind == "recipient":
        given = bare(typed)
        if given != detail.text and len(given) != LAST:
            raise BadInput(said(
                "Type the last %(many)s letters or digits of the recipient: you typed %(typed)s.", many=LAST, typed=len(given)
            ))
        if given not in (detail.text, detail.text[-LAST:]):
            raise BadInput("What you typed is not how the recipient of this action ends. Look at the recipient again.")
    elif bare(typed) != detail.text:
        raise BadInput("What you typed is not the name of the tool that this action calls. Look at it again.")


def bare(text: str) -> str:
    """Letters and digits alone, of any script, in one case: gaps, dashes and dots are how somebody writes, not what."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_digit(char) for char in plain if char.isalnum())


def figures(typed: str, exponent: int) -> set[int]:
    """What an amount can mean, in minor units, by the habits of any country: `4.800` is four thousand eight hundred in one and
    not in another. Empty where it is no amount."""
    plain = unicodedata.normalize("NFKC", typed).translate(SEPARATORS)
    plain = "".join(_digit(char) for char in plain if not char.isspace())
    found = FIGURE.fullmatch(NOT_A_FIGURE.sub("", plain))
    if found is None:
        return set()
    sign, text = (-1 if found[1] else 1), found[2]
    marks = [char for char in text if char in ".,"]
    meant = set()
    if not marks or (len(set(marks)) == 1 and _grouped(re.split("[.,]", text))):
        meant.add(int(re.sub("[.,]", "", text)) * 10**exponent)
    if marks and marks.count(marks[-1]) == 1:
        whole, _, part = text.rpartition(marks[-1])
        if 0 < len(part) <= exponent and (len(marks) == 1 or _grouped(re.split("[.,]", whole))):
            meant.add(int(re.sub("[.,]", "", whole) + part.ljust(exponent, "0")))
    return {sign * value for value in meant}


def _grouped(groups: Sequence[str]) -> bool:
    """Thousands, or the lakhs and crores of India."""
    first, *rest = groups
    return 0 < len(first) <= 3 and len(rest[-1]) == 3 and all(len(one) in (2, 3) for one in rest[:-1])


def _digit(char: str) -> str:
    """A decimal digit of any script as an ASCII one."""
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)
