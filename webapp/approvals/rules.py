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
    # Rejection beats approval until the moment of execution.
    "approved": frozenset({"executing", "rejected", "expired", "withdrawn", "void"}),
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

    def includes(self, person: str) -> bool:
        return person in (self.principal, self.owner, self.agent_owner)


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
    """How far one need is met."""

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


def verdict_for(need: Need) -> Literal["approve", "confirm"]:
    return "confirm" if need["kind"] == "confirm" else "approve"


def entitled(need: Need, parties: Parties, person: str, groups: Iterable[str]) -> bool:
    """May this person meet this need? The owner confirms; an approver is of the group and none of the parties."""
    if need["kind"] == "confirm":
        return person == parties.owner
    return need["group"] in groups and not parties.includes(person)


def counts(need: Need, parties: Parties, given: Given) -> bool:
    """Does this statement count towards this need? A confirmation never counts as an approval."""
    return (
        given.verdict == verdict_for(need)
        and entitled(need, parties, given.person, given.groups)
        and strong_enough(need, given.factor)
    )


def strong_enough(need: Need, factor: str) -> bool:
    """A passkey also does where an authenticator code is asked for; not the other way round."""
    return factor == "passkey" or (factor == "totp" and need["factor"] != "passkey")


def may_reject(requirement: Sequence[Need], parties: Parties, person: str, groups: Iterable[str]) -> bool:
    """Whoever could say yes may say no."""
    return any(entitled(need, parties, person, groups) for need in requirement)


def progress(subject: Subject, decisions: Iterable[Given]) -> tuple[Progress, ...]:
    """For each need, the different people who met it; one person counts once."""
    given = list(decisions)
    return tuple(
        Progress(need, tuple(dict.fromkeys(one.person for one in given if counts(need, subject.parties, one))))
        for need in subject.requirement
    )


def resolve(subject: Subject, decisions: Sequence[Given], now: datetime) -> Resolution:
    """Where the action stands. Any rejection beats any number of approvals until it is executed; no requirement at all is
    never met; time runs out at `expires_at`, and for an approval at `run_by`."""
    met = progress(subject, decisions)
    if subject.state not in WAITING:
        return Resolution(subject.state, met)
    refusal = next(
        (one for one in decisions if one.verdict == "reject"
         and may_reject(subject.requirement, subject.parties, one.person, one.groups)), None)
    if refusal is not None:
        return Resolution("rejected", met, refusal)
    if now >= subject.expires_at or (subject.run_by is not None and now >= subject.run_by):
        return Resolution("expired", met)
    enough = bool(met) and all(one.met for one in met)
    return Resolution("approved" if enough else "held", met)


Part = Literal["confirm", "approve", "owner", "given", "none"]


def part_of(subject: Subject, decisions: Sequence[Given], person: str, groups: Sequence[str]) -> Part:
    """What this person can do for a waiting action: `confirm` or `approve` it; `given`: they did already; `owner`: it is
    theirs, and others decide; `none`."""
    mine = {one.verdict for one in decisions if one.person == person}
    for one in progress(subject, decisions):
        if not one.met and entitled(one.need, subject.parties, person, groups):
            verdict = verdict_for(one.need)
            return "given" if verdict in mine else verdict
    if mine & {"confirm", "approve"}:
        return "given"
    return "owner" if subject.parties.includes(person) else "none"


def factor_asked(subject: Subject, person: str, groups: Sequence[str]) -> Literal["", "passkey"]:
    """`passkey` where an authenticator code would not count for every need this person can meet."""
    needs = (need for need in subject.requirement if entitled(need, subject.parties, person, groups))
    return "passkey" if any(need["factor"] == "passkey" for need in needs) else ""
