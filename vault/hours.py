"""Hours in which a decision counts, as a need names them: `0-4 08:00-18:00 Europe/Berlin`. Pure.

    hours = days SP HH:MM "-" HH:MM SP zone
    days  = run *("," run); run = DAY ["-" DAY]; 0 is Monday
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from vault.said import psaid, said

FORM = re.compile(r"([0-6,-]{1,13}) ([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2}) ([A-Za-z0-9_+/-]{1,64})", re.ASCII)
WEEKDAYS = (
    said("Monday"), said("Tuesday"), said("Wednesday"), said("Thursday"), said("Friday"), said("Saturday"), said("Sunday"),
)
MONTHS = (
    psaid("month", "January"), psaid("month", "February"), psaid("month", "March"), psaid("month", "April"),
    psaid("month", "May"), psaid("month", "June"), psaid("month", "July"), psaid("month", "August"),
    psaid("month", "September"), psaid("month", "October"), psaid("month", "November"), psaid("month", "December"),
)
DAY = 24 * 60
LONGEST = timedelta(days=30)


class BadHours(ValueError):
    """Not hours, or not in their one spelling, or in a zone that is not known here."""


@dataclass(frozen=True)
class Hours:
    """`days`: 0 is Monday; `begin` and `end` are minutes of the day, `end` not included. Raises BadHours."""

    days: tuple[int, ...]
    begin: int
    end: int
    zone: str

    def __post_init__(self) -> None:
        if not self.days or list(self.days) != sorted(set(self.days)) or not set(self.days) <= set(range(7)):
            raise BadHours("hours name no day, or one twice")
        if not 0 <= self.begin < self.end <= DAY:
            raise BadHours("hours end before they begin")
        _zone(self.zone)

    def __str__(self) -> str:
        return f"{','.join(_runs(self.days))} {_clock(self.begin)}-{_clock(self.end)} {self.zone}"

    def hold(self, at: datetime) -> bool:
        """Whether it is within these hours at this moment."""
        return self.following(at) == at

    def following(self, at: datetime) -> datetime:
        """The first moment from `at` on that is within these hours: `at` itself, where it is."""
        begin, _ = next(self._windows(at))
        return max(begin, at)

    def opens(self, at: datetime) -> str:
        """The same for a person to read, in the hours' own zone."""
        when = self.following(at).astimezone(_zone(self.zone))
        return said(
            "%(weekday)s, %(day)s %(month)s, %(time)s (%(zone)s)", weekday=WEEKDAYS[when.weekday()], day=f"{when:%d}",
            month=MONTHS[when.month - 1], time=f"{when:%H:%M}", zone=self.zone,
        )

    def after(self, at: datetime, length: timedelta) -> datetime:
        """When so much time of these hours has gone by; at most LONGEST after `at`."""
        left, latest = length, at + LONGEST
        for begin, end in self._windows(at):
            start = max(begin, at)
            if start >= latest:
                break
            if start + left <= end:
                return min(start + left, latest)
            left -= end - start
        return latest

    def _windows(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """From and until, in UTC, of every day's hours that end after `at`."""
        zone = _zone(self.zone)
        date = at.astimezone(zone).date() - timedelta(days=1)
        while True:
            if date.weekday() in self.days:
                midnight = datetime.combine(date, time())
                begin, end = ((midnight + timedelta(minutes=one)).replace(tzinfo=zone).astimezone(UTC)
                              for one in (self.begin, self.end))
                if end > at and end > begin:
                    yield begin, end
            date += timedelta(days=1)


@lru_cache(maxsize=64)
def read(text: str) -> Hours:
    """The hours that this text says, in exactly their one spelling. Raises BadHours."""
    match = FORM.fullmatch(text)
    if match is None:
        raise BadHours("not hours")
    days, *clock, zone = match.groups()
    first, first_minute, last, last_minute = (int(one) for one in clock)
    if first_minute > 59 or last_minute > 59:
        raise BadHours("no such minute")
    found = Hours(tuple(_days(days)), first * 60 + first_minute, last * 60 + last_minute, zone)
    if str(found) != text:
        raise BadHours("hours in another spelling")
    return found


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadHours(f"no time zone {name!r}") from error


def _days(text: str) -> Iterable[int]:
    for run in text.split(","):
        first, _, last = run.partition("-")
        if len(first) != 1 or len(last) > 1 or "-" in (first, last):
            raise BadHours("not days")
        yield from range(int(first), int(last or first) + 1)


def _runs(days: tuple[int, ...]) -> Iterable[str]:
    """Days that follow each other as one run."""
    at = 0
    while at < len(days):
        until = at
        while until + 1 < len(days) and days[until + 1] == days[until] + 1:
            until += 1
        yield str(days[at]) if until == at else f"{days[at]}-{days[until]}"
        at = until + 1


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
