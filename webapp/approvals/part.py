"""Pure: what one person can do for a waiting action, from when on, and with which factor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Literal

from vault.evidence import Need, read_hours
from webapp.approvals.rules import Given, Subject, filled, may_reject, merged, progress

Part = Literal["confirm", "approve", "owner", "server", "editor", "given", "enough", "none"]


def part_of(
    subject: Subject, decisions: Sequence[Given], person: str, groups: Sequence[str], same_as: Collection[str] = ()
) -> Part:
    """What this person can do for a waiting action: `confirm` or `approve` it; `given`: they did already; `enough`: their group
    has given all it can; `owner`: it is theirs, and others decide; `server`: their server asks, and others decide; `editor`: they
    changed it, and others decide; `none`.
    `same_as`: their other sign-ins."""
    mine = {person, *same_as}
    if any(one.person in mine and one.verdict in ("confirm", "approve") for one in decisions):
        return "given"
    before = filled(progress(subject, decisions))
    for verdict in ("confirm", "approve"):
        would = Given(person, "", tuple(groups), verdict, "passkey", "", subject.expires_at, tuple(same_as), matched=True)
        if filled(progress(subject, decisions, would)) > before:
            return verdict
    if any(subject.parties.includes(one) for one in mine):
        return "owner"
    if mine & {subject.parties.editor, *subject.parties.earlier}:
        return "editor"
    if any(subject.parties.excludes(one) for one in mine):
        return "server"
    return "enough" if may_reject(subject.requirement, subject.parties, person, groups) else "none"


def opens_at(subject: Subject, part: Part, groups: Iterable[str], now: datetime) -> datetime:
    """From when what this person would give counts: `now`, unless every need that it would help has hours and they are over."""
    hours = [need.get("hours", "") for need in _asked(subject, part, groups)]
    return min(read_hours(one).following(now) for one in hours) if hours and all(hours) else now


def code_counts(subject: Subject, part: Part, groups: Iterable[str]) -> bool:
    """Whether an authenticator code is enough for what this person would give: a confirmation, or the word of a group."""
    return any(need["factor"] != "passkey" for need in _asked(subject, part, groups))


def _asked(subject: Subject, part: Part, groups: Iterable[str]) -> list[Need]:
    groups = tuple(groups)
    return [need for need in merged(subject.requirement)
            if (need["kind"] == "confirm" if part == "confirm" else need["group"] in groups)]
