"""Which rules speak, what becomes of what they hold, and which never do: for whoever looks after them. It loosens nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.insights.tables import Paced, RuleSpoke
from webapp.policy.reading import FLOOR, Rule

PASSED = ("approved", "executing", "done", "failed", "uncertain")
LAPSED = ("expired", "withdrawn", "void")


@dataclass
class Spoken:
    """One rule of a period. `reason` is empty for one that is no longer in the set."""

    rule: str
    reason: str = ""
    holds: bool = True
    floor: bool = False
    known: bool = False
    """Whether it is in the set that decides."""
    denied: int = 0
    states: Counter[str] = field(default_factory=Counter)
    """What became of the actions it held."""

    @property
    def held(self) -> int:
        return self.states.total()

    @property
    def approved(self) -> int:
        return sum(self.states[state] for state in PASSED)

    @property
    def rejected(self) -> int:
        return self.states["rejected"]

    @property
    def lapsed(self) -> int:
        return sum(self.states[state] for state in LAPSED)

    @property
    def waiting(self) -> int:
        return self.held - self.approved - self.rejected - self.lapsed

    def always(self, cases: int) -> bool:
        """Approved every time it was decided, and that often. What nothing replaces is no candidate."""
        return self.known and not self.floor and self.rejected == 0 and self.approved >= cases


@dataclass(frozen=True)
class Rules:
    spoken: Sequence[Spoken]
    always: Sequence[Spoken]
    never: Sequence[Spoken]
    """Holds and denials of the set that decides that did not speak once."""


Row = tuple[str, str, str | None, int]


def of(session: Session, rules: Sequence[Rule], since: datetime, cases: int) -> Rules:
    rows = session.execute(
        select(RuleSpoke.rule, RuleSpoke.verdict, Paced.state, func.count())
        .outerjoin(Paced, Paced.action == RuleSpoke.subject).where(RuleSpoke.at >= since)
        .group_by(RuleSpoke.rule, RuleSpoke.verdict, Paced.state)
    )
    return counted([(rule, verdict, state, count) for rule, verdict, state, count in rows], rules, cases)


def counted(rows: Iterable[Row], rules: Sequence[Rule], cases: int) -> Rules:
    """Pure: (rule, verdict, state of the action, how many). Permits are left out: nothing says which of them let a call pass."""
    found = {
        rule.id: Spoken(rule.id, rule.reason, rule.requirements is not None, rule.source == FLOOR.name, True)
        for rule in rules if rule.effect == "forbid"
    }
    for name, verdict, state, count in rows:
        one = found.setdefault(name, Spoken(name, holds=verdict == "hold"))
        if verdict == "deny":
            one.denied += count
        else:
            one.states[state or "held"] += count
    spoken = sorted((one for one in found.values() if one.held or one.denied), key=lambda one: (-one.held - one.denied, one.rule))
    never = sorted((one for one in found.values() if not one.held and not one.denied), key=lambda one: one.rule)
    return Rules(spoken, [one for one in spoken if one.always(cases)], never)
