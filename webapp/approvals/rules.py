"""Pure: the states of an action, and what the decisions on it amount to. No database, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from vault.evidence import Need

State = Literal["held", "approved", "executing", "done", "failed", "uncertain", "rejected", "expired", "withdrawn", "void"]
Verdict = Literal["approve", "confirm", "reject"]

STATES: tuple[State, ...] = (
    "held", "approved", "executing", "done", "failed", "uncertain", "rejected", "expired", "withdrawn", "void",
)

TABLE: Mapping[State, frozenset[State]] = {
    "held": frozenset({"approved", "rejected", "expired", "withdrawn", "void"}),
    # Rejection beats approval until the moment of execution. Restored from a copy, it may have run since: `uncertain`.
    "approved": frozenset({"executing", "rejected", "expired", "withdrawn", "void", "uncertain"}),
    "executing": frozenset({"done", "failed", "uncertain"}),
    # Only a person, or the answer of the very execution that was thought lost, ends the uncertainty.
    "uncertain": frozenset({"done", "failed"}),
    "done": frozenset(),
    "failed": frozenset(),
    "rejected": frozenset(),
    "expired": frozenset(),
    "withdrawn": frozenset(),
    "void": frozenset(),
}

LIVE: tuple[State, ...] = ("held", "approved", "executing", "uncertain")
"""States in which there may be only one action for the same call."""

WAITING: tuple[State, ...] = ("held", "approved")
TERMINAL: tuple[State, ...] = tuple(state for state in STATES if not TABLE[state])


def may_become(state: str, to: str) -> bool:
    return any(state == known and to in following for known, following in TABLE.items())


@dataclass(frozen=True)
class Parties:
    """Whose action it is. Compared by identity, never by role."""

    principal: str
    owner: str
    """Owner of the account that is used; the principal where none is."""
    agent_owner: str
    server_owner: str = ""
    """Whose the server is that asks for a token; empty where nobody was named. No party to the call, and no approver of it."""

    def includes(self, person: str) -> bool:
        return person in (self.principal, self.owner, self.agent_owner)

    def excludes(self, person: str) -> bool:
        """Whether this person may not approve it, whatever group they are in."""
        return self.includes(person) or (person != "" and person == self.server_owner)


@dataclass(frozen=True)
class Given:
    """One verified statement: what the keeper signed about a person's verdict."""

    person: str
    name: str
    groups: tuple[str, ...]
    verdict: Verdict
    factor: str
    """`passkey` or `totp`."""
    reason: str
    at: datetime


@dataclass(frozen=True)
class Subject:
    """What `resolve` must know of an action."""

    state: State
    parties: Parties
    requirement: tuple[Need, ...]
    expires_at: datetime
    run_by: datetime | None = None


@dataclass(frozen=True)
class Progress:
    """How far one need is met. Needs of the same group are one; a person counts once, for one of them."""

    need: Need
    people: tuple[str, ...]
    """Ids of those whose decisions count for it."""

    @property
    def met(self) -> bool:
        return len(self.people) >= wanted(self.need)


@dataclass(frozen=True)
class Resolution:
    state: State
    progress: tuple[Progress, ...]
    rejected_by: Given | None = None


def wanted(need: Need) -> int:
    return 1 if need["kind"] == "confirm" else max(1, need["quorum"])


def merged(requirement: Sequence[Need]) -> tuple[Need, ...]:
    """Needs of the same kind and group as one: the largest quorum, the strictest factor."""
    found: dict[tuple[str, str], Need] = {}
    for need in requirement:
        key = (need["kind"], need["group"])
        known = found.get(key, need)
        strictest = max(known["factor"], need["factor"], key=("", "totp", "passkey").index)
        found[key] = Need(kind=need["kind"], group=need["group"], quorum=max(known["quorum"], need["quorum"]),
                          factor=strictest, rule=known["rule"])
    return tuple(found.values())


def entitled(need: Need, parties: Parties, person: str, groups: Iterable[str]) -> bool:
    """May this person meet this need? The owner confirms; an approver is of the group, none of the parties, and not whose server
    asks."""
    if need["kind"] == "confirm":
        return person == parties.owner
    return need["group"] in groups and not parties.excludes(person)


def counts(need: Need, parties: Parties, given: Given) -> bool:
    """Does this statement count towards this need? A confirmation never counts as an approval."""
    verdict = "confirm" if need["kind"] == "confirm" else "approve"
    return (
        given.verdict == verdict
        and entitled(need, parties, given.person, given.groups)
        and strong_enough(need, given.factor)
    )


def strong_enough(need: Need, factor: str) -> bool:
    """A passkey also does where an authenticator code is asked for; not the other way round."""
    return factor == "passkey" or (factor == "totp" and need["factor"] != "passkey")


def may_reject(requirement: Sequence[Need], parties: Parties, person: str, groups: Iterable[str]) -> bool:
    """Whoever could say yes may say no."""
    groups = tuple(groups)
    return any(entitled(need, parties, person, groups) for need in requirement)


def progress(subject: Subject, decisions: Iterable[Given]) -> tuple[Progress, ...]:
    """For each need the people who met it, as many needs as can be: one person to one seat (a maximum matching, by augmenting
    paths), so that somebody in two groups does not stand for both."""
    given, needs = list(decisions), merged(subject.requirement)
    seats = [(at, number) for at, need in enumerate(needs) for number in range(wanted(need))]
    able = {
        at: tuple(dict.fromkeys(one.person for one in given if counts(need, subject.parties, one)))
        for at, need in enumerate(needs)
    }
    sits: dict[str, tuple[int, int]] = {}

    def seat(place: tuple[int, int], tried: set[str]) -> bool:
        for person in able[place[0]]:
            if person in tried:
                continue
            tried.add(person)
            if person not in sits or seat(sits[person], tried):
                sits[person] = place
                return True
        return False

    for place in seats:
        seat(place, set())
    return tuple(
        Progress(need, tuple(person for person, place in sits.items() if place[0] == at)) for at, need in enumerate(needs)
    )


def filled(met: Iterable[Progress]) -> int:
    return sum(len(one.people) for one in met)


def resolve(subject: Subject, decisions: Sequence[Given], now: datetime) -> Resolution:
    """Where the action stands. Any rejection beats any number of approvals until it is executed (the keeper signs none of
    somebody who has no say); no requirement at all is never met; time runs out at `expires_at`, for an approval at `run_by`."""
    met = progress(subject, decisions)
    if subject.state not in WAITING:
        return Resolution(subject.state, met)
    refusal = next((one for one in decisions if one.verdict == "reject"), None)
    if refusal is not None:
        return Resolution("rejected", met, refusal)
    if now >= subject.expires_at or (subject.run_by is not None and now >= subject.run_by):
        return Resolution("expired", met)
    enough = bool(met) and all(one.met for one in met)
    return Resolution("approved" if enough else "held", met)


Part = Literal["confirm", "approve", "owner", "server", "given", "enough", "none"]


def part_of(subject: Subject, decisions: Sequence[Given], person: str, groups: Sequence[str]) -> Part:
    """What this person can do for a waiting action: `confirm` or `approve` it; `given`: they did already; `enough`: their group
    has given all it can; `owner`: it is theirs, and others decide; `server`: their server asks, and others decide; `none`."""
    if any(one.person == person and one.verdict in ("confirm", "approve") for one in decisions):
        return "given"
    before = filled(progress(subject, decisions))
    for verdict in ("confirm", "approve"):
        mine = Given(person, "", tuple(groups), verdict, "passkey", "", subject.expires_at)
        if filled(progress(subject, [*decisions, mine])) > before:
            return verdict
    if subject.parties.includes(person):
        return "owner"
    if subject.parties.excludes(person):
        return "server"
    return "enough" if may_reject(subject.requirement, subject.parties, person, groups) else "none"


def code_counts(subject: Subject, part: Part, groups: Iterable[str]) -> bool:
    """Whether an authenticator code is enough for what this person would give: a confirmation, or the word of a group."""
    groups = tuple(groups)
    asked = [need for need in merged(subject.requirement)
             if (need["kind"] == "confirm" if part == "confirm" else need["group"] in groups)]
    return any(need["factor"] != "passkey" for need in asked)
