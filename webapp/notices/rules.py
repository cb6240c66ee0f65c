"""Pure: what is told to somebody now, and when to look again.

An event waits for its digest, then for the end of a snooze, then for the end of the quiet hours. What would lapse before its
digest is told at once: a digest saves interruptions, it does not cost decisions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Kind = Literal["confirm", "approve", "expiring", "uncertain", "outcome", "security", "incident", "stuck"]
KINDS: tuple[Kind, ...] = ("confirm", "approve", "expiring", "uncertain", "outcome", "security", "incident", "stuck")
USUAL: frozenset[Kind] = frozenset(KINDS) - {"outcome"}
GROUPS: tuple[Kind, ...] = ("approve", "expiring", "incident", "stuck")
"""What a group's channel can be told. The rest is between a person and their agents."""
ADMINS: frozenset[Kind] = frozenset({"stuck"})
"""What only admins, and their groups' channels, are told."""
Digest = Literal["now", "quarter", "hourly", "daily"]
DIGESTS: tuple[Digest, ...] = ("now", "quarter", "hourly", "daily")

QUARTER = timedelta(minutes=15)
"""All times of a preference are on quarters of an hour, and every zone's clock is set by whole quarters: so stepping by them
meets each change of the clock, and no wall time has to be turned into a moment."""
DAY = 24 * 60
LOOKED_AHEAD = 4 * 49
"""Quarters in two days and an hour: the next morning is among them, whatever the clock does."""


@dataclass(frozen=True)
class Quiet:
    """From and until: minutes since midnight on the wall clock, on quarters. Over midnight where `first` is the later one; all
    day is refused where preferences are stored."""

    first: int
    last: int

    def holds(self, at: datetime, zone: ZoneInfo) -> bool:
        minute = _minute(at, zone)
        if self.first < self.last:
            return self.first <= minute < self.last
        return minute >= self.first or minute < self.last

    def end(self, at: datetime, zone: ZoneInfo) -> datetime:
        """The first quarter after `at` at which it is not quiet."""
        return next((one for one in _quarters(at) if not self.holds(one, zone)), at + timedelta(days=1))


@dataclass(frozen=True)
class Preferences:
    """What one person, or one group's channel, wants to be told and when."""

    kinds: frozenset[Kind] = USUAL
    zone: str = "UTC"
    digest: Digest = "now"
    daily_at: int = 8 * 60
    """Minutes since midnight on the wall clock, on a quarter."""
    quiet: Quiet | None = None
    through: bool = True
    """What lapses before the quiet hours end is told all the same."""
    snoozed_until: datetime | None = None


@dataclass(frozen=True)
class Event:
    """Something that somebody may want to be told. `lapses`: after that, telling is of no use."""

    id: str
    kind: Kind
    at: datetime
    lapses: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """`told` now, in the order given; `dropped`: not wanted, or too late; `again`: when the next of the others is due."""

    told: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    again: datetime | None = None


def due(now: datetime, prefs: Preferences, events: Iterable[Event]) -> Plan:
    told, dropped, later = list[str](), list[str](), list[datetime]()
    for event in events:
        if event.kind not in prefs.kinds or (event.lapses is not None and event.lapses <= now):
            dropped.append(event.id)
        elif (at := when(now, prefs, event)) <= now:
            told.append(event.id)
        else:
            later.append(at)
    return Plan(tuple(told), tuple(dropped), min(later, default=None))


def when(now: datetime, prefs: Preferences, event: Event) -> datetime:
    """The moment at which this event is told: `now` or later."""
    zone = ZoneInfo(prefs.zone)
    at = max(now, _digest(prefs, event, zone))
    if prefs.snoozed_until is not None:
        at = max(at, prefs.snoozed_until)
    if prefs.quiet is None or not prefs.quiet.holds(at, zone):
        return at
    end = prefs.quiet.end(at, zone)
    if prefs.through and event.lapses is not None and event.lapses <= end:
        return _in_time(now, prefs, prefs.quiet, event.lapses, zone)
    return end


def _in_time(now: datetime, prefs: Preferences, quiet: Quiet, lapses: datetime, zone: ZoneInfo) -> datetime:
    """At once; after these quiet hours, where it is not yet in them that it lapses. A snooze is the person's own word, and stands
    also for what is urgent."""
    at = max(now, prefs.snoozed_until) if prefs.snoozed_until is not None else now
    if quiet.holds(at, zone) and quiet.end(at, zone) < lapses:
        return quiet.end(at, zone)
    return at


def _digest(prefs: Preferences, event: Event, zone: ZoneInfo) -> datetime:
    if prefs.digest == "now":
        return event.at
    if prefs.digest == "daily":
        at = _morning(event.at, zone, prefs.daily_at)
    else:
        at = _next(event.at, QUARTER if prefs.digest == "quarter" else timedelta(hours=1))
    return event.at if event.lapses is not None and event.lapses <= at else at


def _morning(at: datetime, zone: ZoneInfo, minute: int) -> datetime:
    """The next quarter at which the wall clock reads `minute` or, on a day that leaves it out, the first after it."""

    def day(one: datetime) -> int:
        return one.astimezone(zone).toordinal() - (_minute(one, zone) < minute)

    today = day(at)
    return next(one for one in _quarters(at) if day(one) > today)


def _quarters(at: datetime) -> Iterable[datetime]:
    first = _next(at, QUARTER)
    return (first + step * QUARTER for step in range(LOOKED_AHEAD))


def _next(at: datetime, step: timedelta) -> datetime:
    """The next multiple of `step` in UTC, after `at`."""
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + ((at - midnight) // step + 1) * step


def _minute(at: datetime, zone: ZoneInfo) -> int:
    local = at.astimezone(zone)
    return local.hour * 60 + local.minute
