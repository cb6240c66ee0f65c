"""The order of the queue: what could go most wrong first. By class, which says what cannot be taken back; in a class what
deceives or cannot be read; then by amount. It decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.approvals.page import USUAL_SAMPLES
from webapp.approvals.tables import Action

RISK = {"destroy": 0, "money": 1, "send": 2, "write": 3, "read": 4}
PLACES = 100
"""In each class, twice: for what is marked, and for the rest."""
MARKED = frozenset({"lookalike", "unreadable"})
TIMES = (1000, 300, 100, 30, 10, 3)
"""How many times the usual amount it is, at least."""
UNKNOWN, USUAL = 10, 55
"""Where amounts begin of which nobody can say what is usual, and those that are."""
SIZES = 44
"""Steps of 1, 2, 5, 10, 20, … minor units of the base currency, up to more than can be read."""
SAMPLES = 20
LATELY = 500
"""Of a person's last actions: no more are looked through for what is usual."""


def rank(cls: str, flags: Collection[str], amount: Mapping[str, Any] | None, usual: int | None) -> int:
    """`usual`: minor units of the amount's own currency; None where too few are known. Amounts of about the same size share a
    place, and what lapses first comes first of them."""
    place = UNKNOWN if "reported" in flags else _place(amount or {}, usual)
    return (RISK.get(cls, 0) * 2 + (not MARKED & set(flags))) * PLACES + place


def _place(amount: Mapping[str, Any], usual: int | None) -> int:
    """Many times the usual; then what nobody can say the usual of, the largest first and before it what has no amount; then the
    rest, the largest first."""
    if amount.get("status") != "ok":
        return UNKNOWN
    smaller = SIZES - min(SIZES, _size(amount["base_minor"]))
    if usual is None:
        return UNKNOWN + smaller
    return next((place for place, times in enumerate(TIMES) if amount["minor"] >= times * usual), USUAL + smaller)


def _size(minor: int) -> int:
    text = str(abs(minor))
    return 3 * (len(text) - 1) + (text[0] >= "2") + (text[0] >= "5")


def middle(earlier: Sequence[int]) -> int | None:
    """What is usual, of earlier amounts in one currency; None where too few are known to say."""
    return max(1, int(median(earlier))) if len(earlier) >= USUAL_SAMPLES and median(earlier) > 0 else None


def earlier(
    session: Session, person: str, server: str, tool: str, currency: str | None, before: str | None = None
) -> Sequence[int]:
    """Amounts of the last calls like it that were done, in this currency's minor units. `before`: an action's id."""
    if currency is None:
        return ()
    mine = select(Action.server, Action.tool, Action.currency, Action.state, Action.amount_minor, Action.id)
    mine = mine.where(Action.person == person, *([Action.id < before] if before else []))
    last = mine.order_by(Action.id.desc()).limit(LATELY).subquery()
    found = select(last.c.amount_minor).where(
        last.c.server == server, last.c.tool == tool, last.c.currency == currency, last.c.state == "done"
    ).order_by(last.c.id.desc()).limit(SAMPLES)
    return [amount for amount in session.scalars(found) if amount is not None]
