"""Pure: does this set of signed statements meet this requirement for this envelope?

No input or output, no clock of its own. The keeper asks before it mints; the app asks to show and to advance an action.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vault.envelope import (
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
    canonical,
    confirmer,
    digest,
    excluded,
    expiry,
    groups_asked,
    read_envelope,
)
from vault.errors import NotApproved
from vault.signatures import BadSignature, check

__all__ = [
    "Account", "BadEnvelope", "Client", "Envelope", "Met", "Need", "Principal", "Server", "Statement", "Tool", "Unmet", "Verdict",
    "canonical", "confirmer", "digest", "excluded", "expiry", "groups_asked", "parse_statement", "read_envelope", "satisfied",
]

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
    groups_now: Mapping[str, Iterable[str]] | None = None,
) -> Met | Unmet:
    """Whether these statements meet the envelope's requirement now.

    1. The envelope is canonical, asks for something, and asks for exactly `requirement`.
    2. It has not expired.
    3. Every statement was signed as a decision by the keeper's authority (`keys`).
    4. Every statement is on this envelope's digest and this action, and was made before it expired and not in the future.
    5. Nobody rejected: one rejection beats any number of approvals.
    6. A confirmation counts from the confirmer alone; an approval from nobody in `excluded`.
    7. A factor counts where it is strong enough: a passkey satisfies `totp`, not the other way round.
    8. A group counts if the keeper recorded it when it signed and, with `groups_now` (persons' groups as they are now), if
       the person is still in it.
    9. Every need is met, and each person is counted once: needs of the same group are one need with the largest quorum and the
       strictest factor; somebody in two groups stands for one of them.

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
    return _counted(read, bodies, groups_now)


def _on_this(body: Mapping[str, Any], envelope: Envelope, expected_digest: str, now: datetime) -> None:
    try:
        at = datetime.fromisoformat(str(body["at"]).replace("Z", "+00:00"))
        bound = body["digest"] == expected_digest and body["action"] == envelope["action"]
        known = body["verdict"] in ("approve", "confirm", "reject") and isinstance(body["person"], str) and body["person"]
        timely = at < expiry(envelope) and at <= now + SKEW
    except (KeyError, TypeError, ValueError) as error:
        raise NotApproved("a statement is incomplete") from error
    if not bound or not known:
        raise NotApproved("a statement is on something else")
    if not timely:
        raise NotApproved("a statement is out of time")


def _counted(
    envelope: Envelope, bodies: Sequence[Mapping[str, Any]], groups_now: Mapping[str, Iterable[str]] | None
) -> Met | Unmet:
    confirms = [need for need in envelope["requirement"] if need["kind"] == "confirm"]
    sure = {body["person"] for body in bodies if _confirms(body, envelope, confirms)}  # 6, 7
    if confirms and not sure:
        return Unmet("The owner has not confirmed it.")
    wanted = _merged(envelope["requirement"])
    able = {group: _approvers(group, factor, envelope, bodies, groups_now) for group, (_, factor) in wanted.items()}
    for group, (quorum, _) in wanted.items():
        if len(able[group]) < quorum:
            return Unmet(f"It needs {quorum} from {group}, and has {len(able[group])}.")
    seats = [group for group, (quorum, _) in wanted.items() for _ in range(quorum)]
    seated = _seated(seats, able)
    if seated is None:  # 9
        return Unmet("Each person counts once, and too few are left for every group.")
    return Met(tuple(sorted({*sure, *seated})))


def _confirms(body: Mapping[str, Any], envelope: Envelope, confirms: Sequence[Need]) -> bool:
    mine = body["verdict"] == "confirm" and body["person"] == confirmer(envelope)
    return mine and all(_strong(body, need["factor"]) for need in confirms)


def _approvers(
    group: str, factor: str, envelope: Envelope, bodies: Sequence[Mapping[str, Any]],
    groups_now: Mapping[str, Iterable[str]] | None,
) -> set[str]:
    return {
        body["person"] for body in bodies
        if body["verdict"] == "approve" and body["person"] not in excluded(envelope) and _strong(body, factor)  # 6, 7
        and group in body.get("groups", ()) and (groups_now is None or group in groups_now.get(body["person"], ()))  # 8
    }


def _strong(body: Mapping[str, Any], asked: str) -> bool:
    factor = body.get("factor")
    return isinstance(factor, dict) and factor.get("kind") in STRONG_ENOUGH[asked]


def _merged(requirement: Sequence[Need]) -> dict[str, tuple[int, str]]:
    """By group: the largest quorum and the strictest factor that any of its needs asks for."""
    strict = ["", "totp", "passkey"]
    merged: dict[str, tuple[int, str]] = {}
    for need in requirement:
        if need["kind"] == "approvers":
            quorum, factor = merged.get(need["group"], (0, ""))
            merged[need["group"]] = max(quorum, need["quorum"]), max(factor, need["factor"], key=strict.index)
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
