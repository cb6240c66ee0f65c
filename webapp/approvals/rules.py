"""Pure: the states of an action, and what the decisions on it amount to. No database, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from vault.evidence import GLASS_REASON, Need, humans, read_hours, undo_over

State = Literal["held", "approved", "executing", "done", "failed", "uncertain", "rejected", "expired", "withdrawn", "void"]
Verdict = Literal["approve", "confirm", "reject", "break_glass"]

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

    editor: str = ""
    """Who changed what the agent asked for; empty where nobody did. No party to the call, and no approver of it."""

    earlier: frozenset[str] = frozenset()
    """Who had changed what they changed again: no approver of it either."""

    def includes(self, person: str) -> bool:
        return person in (self.principal, self.owner, self.agent_owner)

    def excludes(self, person: str) -> bool:
        """Whether this person may not approve it, whatever group they are in."""
        return self.includes(person) or (person != "" and person in (self.server_owner, self.editor, *self.earlier))


@dataclass(frozen=True)
class Given:
    """One verified statement: what the keeper signed about a person's verdict."""

    person: str
    name: str
    groups: tuple[str, ...]
    verdict: Verdict
    factor: str
    """`passkey`, `totp` or `idp`."""
    reason: str
    at: datetime
    same_as: tuple[str, ...] = ()
    """Other sign-ins of the same human."""
    decoy: bool = False
    """The keeper says with it that nobody asked for the call."""
    strength: str = ""
    """What the factor counts as, as the keeper recorded it; empty: as what it is."""
    matched: bool = False
    """They typed the number that their agent's screen shows, and it was the right one."""

    @property
    def counts_as(self) -> str:
        return self.strength or self.factor


@dataclass(frozen=True)
class Subject:
    """What `resolve` must know of an action."""

    state: State
    parties: Parties
    requirement: tuple[Need, ...]
    expires_at: datetime
    run_by: datetime | None = None
    undo: int = 0
    """Seconds in which it can be stopped once all have decided."""


@dataclass(frozen=True)
class Progress:
    """How far one need is met. Needs of the same group are one; a human counts once, for one of them."""

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
    runs_at: datetime | None = None
    """From when it may run, where enough have decided and it can be stopped for a while; None: at once."""


def wanted(need: Need) -> int:
    return 1 if need["kind"] == "confirm" else max(1, need["quorum"])


def merged(requirement: Sequence[Need]) -> tuple[Need, ...]:
    """Needs of the same kind and group as one: the largest quorum, the strictest factor, the hours (an envelope names one)."""
    found: dict[tuple[str, str], Need] = {}
    for need in requirement:
        key = (need["kind"], need["group"])
        known = found.get(key, need)
        strictest = max(known["factor"], need["factor"], key=("", "totp", "passkey").index)
        found[key] = {**known, "quorum": max(known["quorum"], need["quorum"]), "factor": strictest}
        if hours := known.get("hours") or need.get("hours", ""):
            found[key]["hours"] = hours
        if known.get("match") or need.get("match"):
            found[key]["match"] = True
    return tuple(found.values())


def entitled(need: Need, parties: Parties, person: str, groups: Iterable[str]) -> bool:
    """May this person meet this need? The owner confirms; an approver is of the group, none of the parties, and not whose server
    asks."""
    if need["kind"] == "confirm":
        return person == parties.owner
    return need["group"] in groups and not parties.excludes(person)


def counts(need: Need, parties: Parties, given: Given, same: Iterable[str] = ()) -> bool:
    """Does this statement count towards this need? A confirmation never counts as an approval. `same`: the human's sign-ins, none
    of which may be a party."""
    verdict = "confirm" if need["kind"] == "confirm" else "approve"
    return (
        given.verdict == verdict
        and entitled(need, parties, given.person, given.groups)
        and (verdict == "confirm" or not any(parties.excludes(one) for one in same))
        and strong_enough(need, given.counts_as)
        and (given.matched or not need.get("match"))
    )


def only_confirmed(requirement: Iterable[Mapping[str, Any]]) -> bool:
    """Whether its owner's second look is all that was asked for. Nothing calls that an approval: others give those."""
    kinds = {need["kind"] for need in requirement}
    return kinds == {"confirm"}


def timely(need: Need, at: datetime) -> bool:
    """Whether what is said at this moment is within the need's hours."""
    return not need.get("hours") or read_hours(need["hours"]).hold(at)


def strong_enough(need: Need, factor: str) -> bool:
    """A passkey also does where an authenticator code is asked for; not the other way round."""
    return factor == "passkey" or (factor == "totp" and need["factor"] != "passkey")


def may_reject(requirement: Sequence[Need], parties: Parties, person: str, groups: Iterable[str]) -> bool:
    """Whoever could say yes may say no."""
    groups = tuple(groups)
    return any(entitled(need, parties, person, groups) for need in requirement)


def progress(
    subject: Subject, decisions: Iterable[Given], would: Given | None = None, linked: Iterable[Given] = ()
) -> tuple[Progress, ...]:
    """For each need the people who met it, as many needs as can be: one human to one seat (a maximum matching, by augmenting
    paths), so that somebody in two groups, or with two sign-ins, does not stand for both. `would`: as if they had said this too,
    within the hours. `linked`: what else says which sign-ins are one human."""
    given, needs = list(decisions), merged(subject.requirement)
    said = [*given, would] if would else given
    same = humans(_links([*said, *linked]))
    seats = [(at, number) for at, need in enumerate(needs) for number in range(wanted(need))]
    able = {
        at: {same[one.person]: one.person for one in reversed(said)
             if counts(need, subject.parties, one, same[one.person]) and (one is would or timely(need, one.at))}
        for at, need in enumerate(needs)
    }
    sits: dict[frozenset[str], tuple[int, int]] = {}

    def seat(place: tuple[int, int], tried: set[frozenset[str]]) -> bool:
        for human in reversed(able[place[0]]):
            if human in tried:
                continue
            tried.add(human)
            if human not in sits or seat(sits[human], tried):
                sits[human] = place
                return True
        return False

    for place in seats:
        seat(place, set())
    return tuple(
        Progress(need, tuple(able[at][human] for human, place in sits.items() if place[0] == at))
        for at, need in enumerate(needs)
    )


def _links(said: Iterable[Given]) -> dict[str, list[str]]:
    links: dict[str, list[str]] = {}
    for one in said:
        links.setdefault(one.person, []).extend(one.same_as)
    return links


def filled(met: Iterable[Progress]) -> int:
    return sum(len(one.people) for one in met)


def resolve(subject: Subject, decisions: Sequence[Given], now: datetime) -> Resolution:
    """Where the action stands. A decoy is over with the first word on it. Any rejection beats any number of approvals until it is
    executed (the keeper signs none of somebody who has no say); no requirement at all is never met; time runs out at
    `expires_at`, for an approval at `run_by`. What is approved may run from `runs_at` on."""
    met = progress(subject, decisions)
    if subject.state not in WAITING:
        return Resolution(subject.state, met)
    if any(one.decoy for one in decisions):
        return Resolution("withdrawn", met)
    refusal = next((one for one in decisions if one.verdict == "reject"), None)
    if refusal is not None:
        return Resolution("rejected", met, refusal)
    if now >= subject.expires_at or (subject.run_by is not None and now >= subject.run_by):
        return Resolution("expired", met)
    if not _carried(subject, decisions):
        return Resolution("held", met)
    runs_at = undo_over(subject.undo, _first_met(subject, decisions)) if subject.undo else None
    return Resolution("approved", met, runs_at=runs_at)


def glass(subject: Subject, decisions: Sequence[Given], linked: Iterable[Given] = ()) -> Given | None:
    """Who passed it alone: signed by the keeper for one whom its configuration names, by passkey, with a written reason, and not
    for what is theirs."""
    same = humans(_links([*decisions, *linked]))
    return next((
        one for one in decisions if one.verdict == "break_glass" and one.factor == "passkey"
        and len(one.reason.strip()) >= GLASS_REASON and not any(subject.parties.excludes(who) for who in same[one.person])
    ), None)


def _carried(subject: Subject, decisions: Sequence[Given], linked: Sequence[Given] = ()) -> bool:
    return glass(subject, decisions, linked) is not None or _enough(progress(subject, decisions, linked=linked))


def _enough(met: Sequence[Progress]) -> bool:
    return bool(met) and all(one.met for one in met)


def _first_met(subject: Subject, decisions: Sequence[Given]) -> datetime:
    """When the last decision that was needed was signed, by the keeper's clock. A link that only a later one names counts from
    the start, as it does for the keeper: a window that ends earlier here would run what the keeper refuses."""
    moments = sorted({one.at for one in decisions})
    met = (at for at in moments if _carried(subject, [one for one in decisions if one.at <= at], decisions))
    return next(met, moments[-1])
