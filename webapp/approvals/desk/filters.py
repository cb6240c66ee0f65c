"""What a list is narrowed to: read strictly from the address, and written back to it. Columns in clear alone are searched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from webapp.approvals.rules import STATES
from webapp.approvals.tables import Action, ActionGroup
from webapp.currencies import EXPONENTS
from webapp.errors import BadInput, said

LONGEST, TERMS = 100, 5
PART = 8
"""As much of an id finds it: fewer letters stand in many by chance."""
AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?")
CLASSES = ("read", "write", "send", "money", "destroy")
HOURS = {"1": said("within 1 hour"), "4": said("within 4 hours"), "24": said("within 24 hours")}
TEXTS = (
    Action.named, Action.recipient, Action.tool, Action.tool_title, Action.server, Action.server_title, Action.client_name,
)
GAPLESS = func.replace(Action.recipient, " ", "")
"""An account number is found however it was typed."""


@dataclass(frozen=True)
class Filter:
    """Every part in the form it has in the address; empty where the list is not narrowed by it."""

    q: str = ""
    server: str = ""
    cls: str = ""
    agent: str = ""
    low: str = ""
    """Amounts from here, in major units: `1000.50`, whatever the viewer's locale, so that an address means one thing."""
    high: str = ""
    currency: str = ""
    group: str = ""
    state: str = ""
    first: str = ""
    """`1`: only recipients that were never approved before."""
    expiring: str = ""
    """Lapses within so many hours: of HOURS."""

    def __bool__(self) -> bool:
        return any(self.parts().values())

    def parts(self) -> dict[str, str]:
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name)}

    @property
    def beyond_search(self) -> bool:
        """Whether more than the words is narrowed by: then the form is shown open."""
        return any(name != "q" for name in self.parts())

    def query(self, **more: str | None) -> str:
        """The part of an address behind its question mark; `more` are parts that do not narrow."""
        return urlencode({**{name: text for name, text in more.items() if text}, **self.parts()})


def read(args: Mapping[str, str]) -> Filter:
    """Raises BadInput, in words that say what to write instead."""
    given = {one.name: " ".join(args.get(one.name, "").split()) for one in fields(Filter)}
    if any(len(text) > LONGEST for text in given.values()):
        raise BadInput(said("Keep each field within %(most)s characters.", most=LONGEST))
    if given["low"] and not AMOUNT.fullmatch(given["low"]):
        raise BadInput("Write the amount “from” in digits, like 1000 or 1000.50.")
    if given["high"] and not AMOUNT.fullmatch(given["high"]):
        raise BadInput("Write the amount “to” in digits, like 1000 or 1000.50.")
    if given["low"] and given["high"] and Decimal(given["low"]) > Decimal(given["high"]):
        raise BadInput("The amount “from” is larger than the amount “to”: nothing lies between them.")
    given["currency"] = given["currency"].upper()
    known = {"cls": CLASSES, "state": STATES, "expiring": HOURS, "first": ("1",), "currency": EXPONENTS}
    for name, allowed in known.items():
        if given[name] and given[name] not in allowed:
            if name == "currency":
                raise BadInput("That is no currency. Write its three letters, like EUR.")
            raise BadInput("A filter in this address is not known. Take the filter off and set it anew.")
    return Filter(**given)


def conditions(asked: Filter, now: datetime) -> list[ColumnElement[bool]]:
    found = [_term(term) for term in asked.q.split()[:TERMS]]
    if asked.server:
        found.append(_is(asked.server, Action.server, Action.server_title))
    if asked.agent:
        found.append(_is(asked.agent, Action.client_name, Action.client))
    if asked.cls:
        found.append(Action.cls == asked.cls)
    if asked.state:
        found.append(Action.state == asked.state)
    if asked.group:
        named = select(ActionGroup.name).where(ActionGroup.action == Action.id, ActionGroup.name == asked.group)
        found.append(named.exists())
    if asked.first:
        found.append(cast(Action.flags, Text).contains('"new"', autoescape=True))
    if asked.expiring:
        found += [Action.state == "held", Action.expires_at <= now + timedelta(hours=int(asked.expiring))]
    return [*found, *_amounts(asked)]


def _term(term: str) -> ColumnElement[bool]:
    """One word, anywhere. SQLite folds ASCII letters alone: others are tried as they are mostly written, too."""
    spelt = {term} if term.isascii() else {term, term.lower(), term.upper(), term.capitalize()}
    columns = [*TEXTS, *([GAPLESS] if any(char.isdigit() for char in term) else []), *([Action.id] if len(term) >= PART else [])]
    return or_(*(column.icontains(text, autoescape=True) for text in sorted(spelt) for column in columns))


def _is(text: str, *columns: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return or_(*(func.lower(column) == text.lower() for column in columns))


def _amounts(asked: Filter) -> list[ColumnElement[bool]]:
    """Major units, whatever the currency: 1,000 means yen in yen. Only what has an amount that could be read is found."""
    found: list[ColumnElement[bool]] = [Action.currency == asked.currency] if asked.currency else []
    if asked.low:
        found.append(_of_each_exponent(lambda digits: Action.amount_minor >= _minor(asked.low, digits, up=True)))
    if asked.high:
        found.append(_of_each_exponent(lambda digits: Action.amount_minor <= _minor(asked.high, digits, up=False)))
    return found


def _of_each_exponent(compare: Callable[[int], ColumnElement[bool]]) -> ColumnElement[bool]:
    rest = {digits: sorted(code for code, its in EXPONENTS.items() if its == digits) for digits in set(EXPONENTS.values())}
    others = [code for digits, codes in rest.items() if digits != 2 for code in codes]
    return or_(
        and_(Action.currency.not_in(others), compare(2)),
        *(and_(Action.currency.in_(codes), compare(digits)) for digits, codes in sorted(rest.items()) if digits != 2),
    )


def _minor(major: str, digits: int, *, up: bool) -> int:
    scaled = Decimal(major).scaleb(digits)
    whole = int(scaled)
    return whole + 1 if up and scaled != whole else whole
