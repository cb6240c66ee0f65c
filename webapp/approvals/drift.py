"""Drift: something that a waiting action depended on has changed. Why it is void, and what changed: as it was, and as it is.

Pure, but for the groups of those who decided, which are read anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.evidence import Envelope, Need, Statement, canonical, groups_asked, others_from, steps_of
from webapp.people.tables import Delegation, Person
from webapp.policy.calls import Deny, Hold, Verdict
from webapp.policy.requirement import duration

EDITED = "(edited)"
"""Stands for a rule where an approver's edit asks for the owner's confirmation. No rule of a set can have this id."""
LONGEST = 400
MANY = 12
NOT_THERE = "(not there)"


@dataclass(frozen=True)
class Change:
    """One thing that changed. `theirs`: the words are a server's or an agent's own, and are labelled so."""

    what: str
    before: str
    now: str
    theirs: bool = False


@dataclass(frozen=True)
class Drift:
    """`why` is a sentence for people; `changes` are what it rests on, bounded."""

    why: str
    changes: tuple[Change, ...] = ()

    def document(self) -> list[dict[str, Any]]:
        return [asdict(one) for one in bounded(self.changes)]


def stored(rows: object) -> tuple[Change, ...]:
    """What `document` wrote. What is not of its form is left out: it is shown, and nothing rests on it."""
    found = rows if isinstance(rows, list) else []
    kept = [one for one in found[:MANY] if isinstance(one, Mapping) and all(isinstance(one.get(name), str) for name in FIELDS)]
    return tuple(Change(one["what"], one["before"], one["now"], bool(one.get("theirs"))) for one in kept)


FIELDS = ("what", "before", "now")


def bounded(changes: Sequence[Change]) -> tuple[Change, ...]:
    """At most MANY, each as long as a person can compare; the last says how many more there are."""
    shown = tuple(shortened(one) for one in changes[:MANY])
    if len(changes) <= MANY:
        return shown
    return (*shown[:MANY - 1], Change("More that changed", "", f"{len(changes) - MANY + 1} more"))


def shortened(change: Change) -> Change:
    """Both texts from a little before where they first differ. Attack: a change behind a thousand words that stayed."""
    before, now = change.before, change.now
    if max(len(before), len(now)) <= LONGEST:
        return change
    differs = (at for at, (one, other) in enumerate(zip(before, now, strict=False)) if one != other)
    start = max(0, next(differs, min(len(before), len(now))) - LONGEST // 4)
    return Change(change.what[:LONGEST], _part(before, start), _part(now, start), change.theirs)


def _part(text: str, start: int) -> str:
    part = text[start:start + LONGEST]
    return f"{'…' if start and part else ''}{part}{'…' if start + LONGEST < len(text) else ''}"


def of_listing(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> tuple[Change, ...]:
    """A tool's pinned document, leaf by leaf: what the server says of it, and what an admin decided about it."""
    was, is_ = dict(_leaves(before or {})), dict(_leaves(now or {}))
    return tuple(
        Change(_words(where), was.get(where, NOT_THERE), is_.get(where, NOT_THERE), where.startswith("/description/"))
        for where in {**was, **is_} if was.get(where) != is_.get(where)
    )


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{where}/{name}")
    elif isinstance(value, list) and value and not all(isinstance(each, str | int | float) for each in value):
        for at, inner in enumerate(value):
            yield from _leaves(inner, f"{where}/{at + 1}")
    elif where:
        yield where, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


OURS = {
    "class": "Class", "changes_recipients": "Changes recipients", "outside": "Brings in what strangers write",
    "pointers": "Where its facts are", "credential": "Credential",
}


def _words(where: str) -> str:
    """`/description/inputSchema/properties/amount/type`: what the server says of `inputSchema properties amount type`."""
    head, *rest = where.split("/")[1:]
    return f"{OURS[head]}{': ' if rest else ''}{' '.join(rest)}" if head in OURS else " ".join(rest) or head


def needs_in_words(needs: Iterable[Need]) -> str:
    """What a requirement asks for, in a line; the order in which rules spoke says nothing."""
    asked = sorted({
        ("the owner’s confirmation" if need["kind"] == "confirm" else f"{need['quorum']} from {need['group']}")
        + (f" by {need['factor']}" if need["factor"] else "") + (" and the agent’s number" if need.get("match") else "")
        + "".join(f" or {step['group']} after {duration(step['after'])}" for step in steps_of(need))
        + (f" in {need['hours']}" if need.get("hours") else "")
        for need in needs
    })
    return ", ".join(asked) or "nobody’s decision"


def of_policy(
    envelope: Envelope, verdict: Verdict, rules: str, asks: Mapping[str, Any] | None = None
) -> Drift | None:
    """Under the same set, a verdict that denies, or asks for what was not asked for, voids: time and use go on, and what they
    loosen voids nothing. Under another set, any other verdict on this call voids; a set that says the same of it does not."""
    needs: Sequence[Need] = verdict.needs if isinstance(verdict, Hold) else ()
    changes = (*_asks(envelope, asks), *_rules(envelope, verdict, rules))
    if isinstance(verdict, Deny):
        return Drift(f"policy refuses it now: {verdict.reason}", changes)
    if not all(need in envelope["requirement"] for need in needs):
        return Drift("policy asks for more decisions now.", changes)
    if isinstance(verdict, Hold) and verdict.undo > envelope.get("undo", 0):
        return Drift("policy asks for a longer time in which it can be stopped now.", changes)
    if rules != envelope["policy"] and _said(envelope["requirement"]) != _said(needs):
        return Drift("policy says something else of it now.", changes)
    return None


def _said(needs: Sequence[Need]) -> list[bytes]:
    return sorted(canonical(need) for need in needs if need["rule"] != EDITED)


def _asks(envelope: Envelope, now: Mapping[str, Any] | None) -> tuple[Change, ...]:
    before = envelope["facts"].get("caller") or {}
    if now is None or not before:
        return ()
    told = {"groups": "Groups of the person", "verified": "The agent is vouched for", "mtls": "The agent has a certificate"}
    pairs = [(words, before.get(name), now[name]) for name, words in told.items()]
    return tuple(Change(words, _plain(then), _plain(today)) for words, then, today in pairs if then != today)


def _plain(value: object) -> str:
    return ", ".join(value) or "none" if isinstance(value, list) else "yes" if value else "no"


def _rules(envelope: Envelope, verdict: Verdict, rules: str) -> tuple[Change, ...]:
    before = tuple(need for need in envelope["requirement"] if need["rule"] != EDITED)
    asked = needs_in_words(before)
    now = "refused" if isinstance(verdict, Deny) else needs_in_words(verdict.needs if isinstance(verdict, Hold) else ())
    why = "; ".join(reason["text"] for reason in envelope["reasons"] if reason["rule"] != EDITED)
    speaks = verdict.reason if isinstance(verdict, Deny) else (
        "; ".join(one.text for one in verdict.reasons) if isinstance(verdict, Hold) else "No rule holds it"
    )
    rows = (
        Change("It needs", asked, now), Change("Because", why, speaks),
        Change("Set of rules", envelope["policy"][:16], rules[:16]),
    )
    return tuple(row for row in rows if row.before != row.now)


def of_deciders(session: Session, statements: Iterable[Statement], envelope: Envelope, now: datetime) -> Drift | None:
    """Whether somebody approved it for a group that they are no longer in, as their last sign-in says, or by a delegation that is
    over. The statements were verified. The keeper would refuse it when it is to run: said here, the agent can ask anew."""
    asked, steps = groups_asked(envelope), {other for each in others_from(envelope).values() for other, _ in each}
    for statement in statements:
        body = json.loads(statement.body)
        if body["verdict"] != "approve":
            continue
        lent: Mapping[str, Mapping[str, Any]] = body.get("delegated") or {}
        ended = _ended(session, body["name"], [lent[group] for group in sorted((asked | steps) & set(lent))], now)
        if ended is not None:
            return ended
        own = set(body["groups"]) - set(lent)
        counted = asked & own or steps & own
        if not counted:
            continue
        today = frozenset(session.scalar(select(Person.groups).where(Person.id == body["person"])) or ())
        if counted - today:
            lost = ", ".join(sorted(counted - today))
            before, after = ", ".join(sorted(counted)), ", ".join(sorted(counted & today))
            return Drift(f"{body['name']}, who approved it, is no longer in {lost}.", (
                Change(f"Groups of {body['name']} that it asks for", before, after or "none"),
            ))
    return None


def _ended(session: Session, name: str, lent: Iterable[Mapping[str, Any]], now: datetime) -> Drift | None:
    """As the rows say, which can only void: what stands is the keeper's word."""
    for one in lent:
        row = session.get(Delegation, one["id"])
        groups = session.scalar(select(Person.groups).where(Person.id == one["by"])) or ()
        if row is None or row.ended_at is not None or row.until <= now or row.group_name not in groups:
            return Drift(f"{name} approved it in a colleague’s place, and that is over.", (
                Change(f"In whose place {name} decides", "a colleague’s", "nobody’s"),
            ))
    return None
