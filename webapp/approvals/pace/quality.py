"""How approvers decide, for admins: counted over many decisions, from one index, and never about one alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Integer, Select, cast, func, select
from sqlalchemy.orm import Session

from webapp.approvals.pace.rules import BANDS, LIMITS
from webapp.approvals.pace.tables import Look
from webapp.config_approvals import Approvals
from webapp.errors import said
from webapp.people import lookup

TIMES = (
    said("under 2 s"), said("2 to 5 s"), said("5 to 10 s"), said("10 to 30 s"), said("30 s to 2 min"), said("over 2 min"),
    said("never opened"),
)
"""From the first look to the decision. The last: decided without the page ever having been shown."""
FEW = 3
"""A median of fewer says nothing."""


@dataclass
class Approver:
    """One person's decisions on what others asked."""

    person: str
    name: str = ""
    approved: int = 0
    rejected: int = 0
    streak: int = 0
    """The longest row of quick approvals."""
    asked: int = 0
    missed: int = 0
    times: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By band of size and place in `TIMES`."""

    @property
    def decided(self) -> int:
        return self.approved + self.rejected

    @property
    def share_rejected(self) -> int:
        """Per cent."""
        return round(100 * self.rejected / self.decided) if self.decided else 0

    def in_time(self, place: int) -> int:
        """Per cent of all its decisions that took as long."""
        count = sum(number for (_band, time), number in self.times.items() if time == place)
        return round(100 * count / self.decided) if self.decided else 0

    def median(self, band: int) -> str:
        """Of the sizes of one band, as words; empty where there are too few."""
        counted = [(time, self.times[band, time]) for time in range(len(LIMITS) + 1)]
        total, so_far = sum(number for _time, number in counted), 0
        for time, number in counted:
            so_far += number
            if total >= FEW and 2 * so_far >= total:
                return TIMES[time]
        return ""


@dataclass(frozen=True)
class Quality:
    approvers: Sequence[Approver]
    few: int
    """How many decided too seldom to be shown."""


def _statement(since: datetime) -> Select[str, str, int, int, int, int, int, int]:
    return select(
        Look.person, Look.verdict, Look.band, Look.place, func.count(), func.max(Look.streak),
        func.sum(cast(Look.asked, Integer)), func.sum(Look.missed),
    ).where(Look.decided_at >= since).group_by(Look.person, Look.verdict, Look.band, Look.place)


def of(session: Session, settings: Approvals, now: datetime) -> Quality:
    """Of the last `quality_days`, who decided most first. A person's second look at their own agent is no approval, and is left
    out."""
    found = gathered(session.execute(_statement(now - timedelta(days=settings.quality_days))))
    names = lookup.names(session, [one.person for one in found])
    for one in found:
        one.name = names[one.person]
    enough = [one for one in found if one.decided >= settings.quality_cases]
    return Quality(sorted(enough, key=lambda one: (-one.decided, one.name)), len(found) - len(enough))


def gathered(rows: Iterable[tuple[str, str, int, int, int, int, int, int]]) -> list[Approver]:
    """Pure: (person, verdict, band, time, how many, longest row, asked, missed) by person."""
    found: dict[str, Approver] = {}
    for person, verdict, band, time, count, streak, asked, missed in rows:
        if verdict == "confirm":
            continue
        one = found.setdefault(person, Approver(person))
        one.approved += count if verdict == "approve" else 0
        one.rejected += count if verdict == "reject" else 0
        one.streak, one.asked, one.missed = max(one.streak, streak), one.asked + asked, one.missed + missed
        one.times[band, time] += count
    return list(found.values())


def bands(currency: str, write: Callable[[int], str] = "{:,}".format) -> tuple[str, ...]:
    """The sizes as headings, with numbers as `write` writes them."""
    edges = [write(start // 100) for start in BANDS[1:]]
    between = (said("%(low)s to %(high)s", low=low, high=high) for low, high in pairwise(edges))
    under = said("Under %(amount)s %(currency)s", amount=edges[0], currency=currency)
    return (said("No amount"), under, *between, said("%(amount)s and more", amount=edges[-1]))
