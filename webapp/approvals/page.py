"""What the page of one action shows, as plain values taken from its verified document. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from vault.evidence import canonical
from webapp.approvals import change_words
from webapp.approvals.change_words import SCRIPTS, how
from webapp.approvals.envelope import Document
from webapp.approvals.lookalike import account_number
from webapp.approvals.spelling import decoded, encoded, mixed
from webapp.config import Policy
from webapp.web.show import visible

USUAL_SAMPLES = 3
UNUSUAL = 3
AS_TYPED = 4
"""Digits that are compared each with the one in its place: two, and the check digits."""
ROWS = 14
LONGEST = 2000
SHORTENED = 300
CODE = Markup("<code>{}</code>")
INITIALS = ("iban", "bic", "url", "id", "uri", "vat")


@dataclass(frozen=True)
class Piece:
    """A stretch of text; `differs` from the recipient it looks like."""

    text: str
    differs: bool = False


@dataclass(frozen=True)
class Spelled:
    """What a recipient's spelling hides; each is empty where it hides nothing."""

    decoded: str
    encoded: str
    scripts: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """One argument that no pin made a fact: the agent's own words."""

    name: str
    text: str
    long: bool


@dataclass(frozen=True)
class Change:
    """One line of a comparison; None where that side has none."""

    name: str
    before: str | None
    now: str | None

    fact: bool = False
    """Of what the pin says the call is about: its amount, its recipient."""

    @property
    def changed(self) -> bool:
        return self.before != self.now

    @property
    def words(self) -> str:
        """How it changed; empty where it did not."""
        return how(self.before, self.now) if self.changed else ""


def amount_of(document: Document) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = document.envelope["facts"].get("amount")
    return found


def out_of_hours(when: datetime, settings: Policy, zone: str) -> bool:
    """Whether this is outside the business hours, as the clock stands in this zone."""
    local = when.astimezone(ZoneInfo(zone))
    return local.weekday() not in settings.business_days or not settings.business_from <= local.hour < settings.business_to


def marked(recipient: str, known: str) -> tuple[Piece, ...]:
    """The recipient, with what tells it from the known one it looks like marked."""
    if not known:
        return (Piece(recipient),)
    if account_number(recipient) and account_number(known):
        return _marked_account(recipient, account_number(known))
    matcher = difflib.SequenceMatcher(None, known, recipient, autojunk=False)
    return tuple(
        Piece(recipient[start:end], kind != "equal") for kind, _, _, start, end in matcher.get_opcodes() if end > start
    )


def _marked_account(recipient: str, known: str) -> tuple[Piece, ...]:
    """Digit by digit where that says where they differ; gaps are no difference, nor are capitals. Where a digit is missing or
    one too many, what stands around it is marked too: a gap alone could not be seen."""
    mine = account_number(recipient)
    apart = {at for at, (one, other) in enumerate(zip(mine, known, strict=False)) if one != other}
    if len(mine) != len(known) or len(apart) > AS_TYPED:
        codes = difflib.SequenceMatcher(None, known, mine, autojunk=False).get_opcodes()
        apart = {at for kind, _, _, start, end in codes if kind in ("insert", "replace") for at in range(start, end)}
        apart |= {at for kind, _, _, start, _ in codes if kind == "delete" for at in (start - 1, start)}
    place, pieces = -1, list[tuple[str, bool]]()
    for char in recipient:
        place += not char.isspace()
        pieces.append((char, not char.isspace() and place in apart))
    return tuple(Piece("".join(char for char, _ in run), differs) for differs, run in groupby(pieces, key=itemgetter(1)))


def spelled(recipient: str) -> Spelled:
    scripts = tuple(SCRIPTS.get(script.title(), script.title()) for script in mixed(recipient))
    return Spelled(decoded(recipient), encoded(recipient), scripts)


def by_fours(pieces: Sequence[Piece]) -> tuple[tuple[Piece, ...], ...]:
    """An account number in groups of four, as it is printed (ISO 13616). Nothing is added or left out: the gaps are the page's.
    One that came with gaps of its own stays as it came."""
    text = [(char, piece.differs) for piece in pieces for char in piece.text]
    if any(char.isspace() for char, _ in text):
        return (tuple(pieces),)
    groups = (groupby(text[at:at + 4], key=itemgetter(1)) for at in range(0, len(text), 4))
    return tuple(tuple(Piece("".join(char for char, _ in run), differs) for differs, run in group) for group in groups)


def said(document: Document) -> tuple[Said, ...]:
    """Every argument that is not one of the facts above it, in the agent's words."""
    facts = pointed(document)
    rest = ((where, text) for where, text in flat(document.envelope["arguments"]) if where not in facts)
    return tuple(Said(label(where), text[:LONGEST], len(text) > 60 or "\n" in text) for where, text in rest)


def pointed(document: Document) -> set[str]:
    """Where in the arguments the facts were read."""
    pins = document.envelope["facts"].get("pointers", {}).values()
    return {str(pin.get("pointer", "")) if isinstance(pin, Mapping) else str(pin) for pin in pins}


def compared(document: Document, earlier: Document) -> tuple[Change, ...]:
    """Arguments side by side with those of an earlier action: what changed first, and of that what the call is about."""
    now, before = dict(flat(document.envelope["arguments"])), dict(flat(earlier.envelope["arguments"]))
    facts = pointed(document)
    rows = [
        Change(label(where), short(before.get(where)), short(now.get(where)), where in facts) for where in {**now, **before}
    ]
    return tuple(sorted(rows, key=lambda row: (not row.changed, not row.fact))[:ROWS])


def summary(changes: Sequence[Change]) -> str:
    """What changed, in a sentence for a page: the names are the tool's, and marked as such."""
    names = [CODE.format(visible(row.name)) for row in changes if row.changed]
    return change_words.summary(names, len(names) == len(changes))


def sent(document: Document) -> str:
    """The bytes that go upstream, as text."""
    return canonical(document.envelope["arguments"]).decode()


def grouped(digest: str) -> str:
    """A digest that two people can compare by eye."""
    return " ".join(digest[at:at + 4] for at in range(0, len(digest), 4))


def phrase(title: str) -> str:
    """A tool's title inside a sentence: `Send a payment` becomes `send a payment`, `IBAN check` stays."""
    return title[:1].lower() + title[1:] if title[1:2].islower() or title[1:2] == " " else title


def label(where: str) -> str:
    """A JSON Pointer (RFC 6901) as a person reads it: `/line_items/0/unitPrice` becomes `Line items 1 unitPrice`."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in where.split("/")[1:]]
    words = " ".join(str(int(part) + 1) if part.isdecimal() else part.replace("_", " ") for part in parts)
    return words.upper() if words.lower() in INITIALS else words[:1].upper() + words[1:80]


def flat(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a JSON value by their pointer, in its own order; text as it is, anything else as JSON."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from flat(inner, f"{where}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from flat(inner, f"{where}/{index}")
    elif where:
        yield where, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def short(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHORTENED else text[:SHORTENED] + "…"


def receipt(result: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A tool result as text, for reading: its text parts; what else there is, as JSON."""
    if result is None:
        return ()
    content = result.get("content")
    parts = content if isinstance(content, list) else []
    texts = [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]
    rest = [part for part in parts if not (isinstance(part, Mapping) and isinstance(part.get("text"), str))]
    if rest:
        texts.append(json.dumps(rest, ensure_ascii=False, indent=2))
    if not texts and result.get("structuredContent") is not None:
        texts.append(json.dumps(result["structuredContent"], ensure_ascii=False, indent=2))
    return tuple(text[:LONGEST * 4] for text in texts)


def fields(result: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """A structured result as a table, when it is a flat one: a bank's receipt, rather than JSON."""
    found = (result or {}).get("structuredContent")
    if not isinstance(found, Mapping) or not 0 < len(found) <= ROWS:
        return ()
    if any(isinstance(value, Mapping | list) for value in found.values()):
        return ()
    return tuple((label("/" + str(name)), short(value if isinstance(value, str) else json.dumps(value)) or "")
                 for name, value in found.items())
