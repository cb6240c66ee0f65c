"""Pure: does this set of signed statements meet this requirement for this envelope?

No input or output, no clock of its own. The keeper asks before it mints; the app asks to show and to advance an action.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vault.envelope import (
    LONGEST_UNDO,
    STRONG_ENOUGH,
    Account,
    BadEnvelope,
    Client,
    Envelope,
    Need,
    Principal,
    Server,
    Statement,
    Tool,
    Verdict,
    asks_match,
    canonical,
    confirmer,
    digest,
    editor,
    editors,
    excluded,
    expiry,
    groups_asked,
    read_envelope,
    strength,
    undo_over,
)
from vault.errors import NotApproved
from vault.hours import BadHours, Hours
from vault.hours import read as read_hours
from vault.humans import humans
from vault.signatures import BadSignature, check
from vault.standing import carries, covers, others_from, standing, stepped_in
from vault.steps import MOST_STEPS, Step, others_of, steps_of

__all__ = [
    "GLASS_REASON", "LONGEST_UNDO", "MOST_STEPS", "Account", "BadEnvelope", "BadHours", "Client", "Envelope", "Hours", "Met",
    "Need", "Principal", "Server", "Statement", "Step", "Tool", "Unmet", "Verdict", "asks_match", "canonical", "carries",
    "confirmer", "covers", "digest", "editor", "editors", "excluded", "expiry", "groups_asked", "humans", "others_from",
    "others_of", "parse_statement", "read_envelope", "read_hours", "satisfied", "standing", "stepped_in", "steps_of",
    "strength", "undo_over",
]

GLASS_REASON = 20
"""Characters that a reason to break the glass has at least."""
VERDICTS = ("approve", "confirm", "reject", "break_glass")
SKEW = timedelta(seconds=60)
"""How far the clocks of two keepers may differ."""


@dataclass(frozen=True)
class Met:
    """`by`: the persons whose statements count."""

    by: tuple[str, ...]


@dataclass(frozen=True)
class Unmet:
    """Falsy. `reason` may be shown to a person."""

    reason: str

    def __bool__(self) -> bool:
        return False


def parse_statement(statement: Statement, keys: Mapping[int, bytes]) -> Mapping[str, Any]:
    """The body of a decision that the keeper's authority signed. Raises NotApproved for anything else, also for what the
    same authority signed for another purpose (a ticket)."""
    try:
        check(statement.body.encode(), statement.signature, keys)
        body = json.loads(statement.body)
    except (BadSignature, ValueError) as error:
        raise NotApproved("a statement does not verify") from error
    if not isinstance(body, dict) or body.get("v") != 1 or body.get("kind") != "decision":
        raise NotApproved("signed, but not a decision")
    return body


def satisfied(
    requirement: Sequence[Need], statements: Iterable[Statement], envelope: bytes, *, keys: Mapping[int, bytes], now: datetime,
    groups_now: Mapping[str, Iterable[str]] | None = None, same_now: Mapping[str, Iterable[str]] | None = None,
    glass_now: Collection[str] | None = None,
) -> Met | Unmet:
    """Whether these statements meet the envelope's requirement now.

    1. The envelope is canonical, asks for something, and asks for exactly `requirement`.
    2. It has not expired.
    3. Every statement was signed as a decision by the keeper's authority (`keys`).
    4. Every statement is on this envelope's digest and this action, and was made before it expired and not in the future.
    5. Nobody rejected: one rejection beats any number of approvals. And none was signed on a decoy.
    5a. Somebody who may broke the glass: that carries it alone (`_alone`).
    6. A confirmation counts from the confirmer alone; an approval from nobody in `excluded`, under whichever of their sign-ins:
       those that the keeper signed (`same_as`) and, with `same_now`, those that it knows now.
    7. A factor counts where it is strong enough: a passkey satisfies `totp`, not the other way round; signing in again at the
       identity provider counts as `vault.envelope.strength` says.
    8. A group counts if the keeper recorded it when it signed and, with `groups_now` (persons' groups as they are now), if
       the person is still in it; one held by delegation, or from a time on, as `vault.standing` says.
    9. A need with hours counts what was said within them, and one with a number what says that it was the right one.
    10. Every need is met, and each human is counted once: needs of the same group are one need with the largest quorum and the
        strictest factor; somebody in two groups, or under two sign-ins, stands for one.
    11. As long as `undo` says has gone by since the first moment at which all of that was so.

    A statement that fails 3 or 4 fails the whole: evidence is what was asked for, and nothing else.
    """
    try:
        read = read_envelope(envelope)
    except BadEnvelope as error:
        return Unmet(f"The envelope cannot be read: {error}.")
    if list(requirement) != read["requirement"]:  # 1
        return Unmet("The requirement is not the envelope's.")
    if now >= expiry(read):  # 2
        return Unmet("It has expired.")
    try:
        bodies = [parse_statement(one, keys) for one in statements]  # 3
        for body in bodies:
            _on_this(body, read, digest(envelope), now)  # 4
    except NotApproved as error:
        return Unmet(f"Not valid: {error.detail}.")
    if any(body["verdict"] == "reject" for body in bodies):  # 5
        return Unmet("It was rejected.")
    if any(body.get("decoy") for body in bodies):
        return Unmet("Nobody asked for it: it is a decoy.")
    try:
        bodies = [standing(body, read, _now(groups_now, body["person"])) for body in bodies]  # 8
    except (KeyError, TypeError, ValueError, AttributeError):
        return Unmet("Not valid: a statement's delegation cannot be read.")
    same = _same(bodies, same_now)
    found = _counted(read, bodies, glass_now, same)
    undo = read.get("undo", 0)
    if undo and isinstance(found, Met) and now < undo_over(undo, _first_met(read, bodies, glass_now, same)):  # 11
        return Unmet("It can still be stopped, and runs after that.")
    return found


def _now(groups_now: Mapping[str, Iterable[str]] | None, person: str) -> Iterable[str] | None:
    return None if groups_now is None else groups_now.get(person, ())


def _first_met(
    envelope: Envelope, bodies: Sequence[Mapping[str, Any]], glass_now: Collection[str] | None,
    same: Mapping[str, frozenset[str]],
) -> datetime:
    """When the last decision that was needed was signed. One that came later begins no new window."""
    moments = sorted({_at(body) for body in bodies})
    met = (at for at in moments if _counted(envelope, [body for body in bodies if _at(body) <= at], glass_now, same))
    return next(met, moments[-1])


def _at(body: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(body["at"]).replace("Z", "+00:00"))


def _on_this(body: Mapping[str, Any], envelope: Envelope, expected_digest: str, now: datetime) -> None:
    try:
        at = _at(body)
        bound = body["digest"] == expected_digest and body["action"] == envelope["action"]
        known = body["verdict"] in VERDICTS and isinstance(body["person"], str) and body["person"]
        linked = all(isinstance(one, str) for one in body.get("same_as", ()))
        timely = at < expiry(envelope) and at <= now + SKEW
    except (KeyError, TypeError, ValueError) as error:
        raise NotApproved("a statement is incomplete") from error
    if not bound or not known or not linked:
        raise NotApproved("a statement is on something else")
    if not timely:
        raise NotApproved("a statement is out of time")


def _counted(
    envelope: Envelope, bodies: Sequence[Mapping[str, Any]], glass_now: Collection[str] | None,
    same: Mapping[str, frozenset[str]],
) -> Met | Unmet:
    alone = {body["person"] for body in bodies if _alone(body, envelope, glass_now, same)}  # 5a
    if alone:
        return Met(tuple(sorted(alone)))
    confirms = [need for need in envelope["requirement"] if need["kind"] == "confirm"]
    sure = {body["person"] for body in bodies if _confirms(body, envelope, confirms)}  # 6, 7, 9
    if confirms and not sure:
        return Unmet("The owner has not confirmed it.")
    wanted = _merged(envelope["requirement"])
    able = {group: _approvers(need, envelope, bodies, same) for group, need in wanted.items()}
    for group, need in wanted.items():
        if len(able[group]) < need["quorum"]:
            return Unmet(f"It needs {need['quorum']} from {group}, and has {len(able[group])}.")
    seats = [group for group, need in wanted.items() for _ in range(need["quorum"])]
    seated = _seated(seats, able)
    if seated is None:  # 10
        return Unmet("Each person counts once, and too few are left for every group.")
    return Met(tuple(sorted({*sure, *seated})))


def _same(
    bodies: Sequence[Mapping[str, Any]], same_now: Mapping[str, Iterable[str]] | None
) -> Mapping[str, frozenset[str]]:
    links: dict[str, list[str]] = {}
    for body in bodies:
        links.setdefault(body["person"], []).extend(body.get("same_as", ()))
    for person, others in (same_now or {}).items():
        links.setdefault(person, []).extend(others)
    return humans(links)


def _alone(
    body: Mapping[str, Any], envelope: Envelope, glass_now: Collection[str] | None, same: Mapping[str, frozenset[str]]
) -> bool:
    """Break-glass: signed for somebody whom the keeper's own configuration named then and, with `glass_now`, names now; by
    passkey; with a reason in writing; by nobody whom the action keeps out."""
    return (
        body["verdict"] == "break_glass" and (glass_now is None or body["person"] in glass_now)
        and (body.get("factor") or {}).get("kind") == "passkey" and len(str(body.get("reason", "")).strip()) >= GLASS_REASON
        and not same[body["person"]] & excluded(envelope)
    )


def _confirms(body: Mapping[str, Any], envelope: Envelope, confirms: Sequence[Need]) -> bool:
    mine = body["verdict"] == "confirm" and body["person"] == confirmer(envelope)
    return mine and all(
        _strong(body, need["factor"]) and _timely(body, need) and (not need.get("match") or body.get("matched") is True)
        for need in confirms
    )


def _approvers(
    need: Need, envelope: Envelope, bodies: Sequence[Mapping[str, Any]], same: Mapping[str, frozenset[str]],
) -> set[str]:
    """One sign-in of each human whose approval counts for this need."""
    group, signers = need["group"], {body["person"] for body in bodies}
    return {
        min(same[body["person"]] & signers) for body in bodies
        if body["verdict"] == "approve" and not same[body["person"]] & excluded(envelope)  # 6
        and _strong(body, need["factor"]) and _timely(body, need)  # 7, 9
        and group in body["groups"]  # 8
    }


def _strong(body: Mapping[str, Any], asked: str) -> bool:
    return strength(body.get("factor")) in STRONG_ENOUGH[asked]


def _timely(body: Mapping[str, Any], need: Need) -> bool:
    return not need.get("hours") or read_hours(need["hours"]).hold(_at(body))


def _merged(requirement: Sequence[Need]) -> dict[str, Need]:
    """By group: the largest quorum, the strictest factor and the hours that any of its needs asks for."""
    strict = ["", "totp", "passkey"]
    merged: dict[str, Need] = {}
    for need in requirement:
        if need["kind"] == "approvers":
            known = merged.get(need["group"], need)
            merged[need["group"]] = {
                **need, "quorum": max(known["quorum"], need["quorum"]),
                "factor": max(known["factor"], need["factor"], key=strict.index),
                "hours": known.get("hours") or need.get("hours", ""),
            }
    return merged


def _seated(seats: Sequence[str], able: Mapping[str, set[str]]) -> dict[str, int] | None:
    """One person to each seat (a maximum matching by augmenting paths), or None where that cannot be."""
    sits: dict[str, int] = {}

    def seat(number: int, tried: set[str]) -> bool:
        for person in sorted(able[seats[number]] - tried):
            tried.add(person)
            if person not in sits or seat(sits[person], tried):
                sits[person] = number
                return True
        return False

    return sits if all(seat(number, set()) for number in range(len(seats))) else None
