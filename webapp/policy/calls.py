"""What policy is asked, as plain values, and what it answers. Policy reads no table: rooms above compute the facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vault.evidence import Need
from webapp.errors import said
from webapp.policy.facts import Facts

NOT_EVALUATED = said("A rule could not be evaluated, so nothing is allowed.")
NONE_ALLOWS = said("No rule allows this.")


@dataclass(frozen=True)
class Agent:
    """The client that calls. `verified` only when an admin vouched for it."""

    id: str
    verified: bool = False
    mtls: bool = False


@dataclass(frozen=True)
class Account:
    """The connection that the call would use."""

    id: str
    provider: str
    owner: str


@dataclass(frozen=True)
class Usage:
    """What was done before, without this call itself. Sums are minor units of the base currency.

    A limit of an agent is no wall: a client can register again under another name. One of the person, account or recipient is.
    """

    counts: Mapping[str, int] | None = None
    """By name (`counters.COUNTERS`), those that the set reads (`PolicySet.counted`); None: nothing was used at all. A rule that
    reads one that is not there errs, and an error denies."""
    approved_before: int = 0
    """How often a person approved an action to this recipient, and it was done."""
    up_to_minor: int = 0
    """The largest amount approved to them then, in minor units of the base currency."""
    lookalike_of: str = ""
    """A known recipient that this one resembles and is not."""


@dataclass(frozen=True)
class Call:
    """One tool call. `hints` are the server's own annotations; only those that make it look worse reach a rule."""

    person: str
    groups: tuple[str, ...]
    agent: Agent
    server: str
    tool: str
    cls: str
    now: datetime
    facts: Facts = field(default_factory=Facts)
    usage: Usage = field(default_factory=Usage)
    account: Account | None = None
    tainted: bool = False
    enforced: bool = True
    """False when a server outside the gateway only reports what it is about to do."""
    hints: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """One rule that spoke: its id and its `@reason`."""

    rule: str
    text: str


@dataclass(frozen=True)
class Allow:
    digest: str
    rules: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True)
class Deny:
    """Falsy. `reason` is for a person to read; `rules` are the policies that forbid, empty when none permits."""

    reason: str
    rules: tuple[str, ...]
    digest: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Hold:
    """Falsy: nothing may run yet. All of `needs` must be met within `within` seconds; within `latest`, if somebody who decides
    puts off the lapse (0: nobody can). Then it can be stopped for `undo` seconds, 0 where no rule says how long."""

    needs: tuple[Need, ...]
    within: int
    reasons: tuple[Reason, ...]
    digest: str
    latest: int = 0
    undo: int = 0

    def __bool__(self) -> bool:
        return False


Verdict = Allow | Deny | Hold
