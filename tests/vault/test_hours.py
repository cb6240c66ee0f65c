"""Hours are read in one spelling, and the same in the keeper and on the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.hours import LONGEST, BadHours, Hours, read

OFFICE = "0-4 08:00-18:00 Europe/Berlin"
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", [OFFICE, "0-6 00:00-24:00 UTC", "0,2,4-5 06:30-07:00 America/New_York", "6 08:00-09:00 UTC"])
def test_hours_are_written_as_they_were_read(text: str):
    assert str(read(text)) == text


@pytest.mark.parametrize("text", [
    "", "always", "0-4 18:00-08:00 UTC", "0-4 08:00-08:00 UTC", "0-4 08:00-25:00 UTC", "0-4 08:60-18:00 UTC",
    "4-0 08:00-18:00 UTC",
    "0-0 08:00-18:00 UTC", "0,1 08:00-18:00 UTC", "1,0 08:00-18:00 UTC", "7 08:00-18:00 UTC", "0-4 08:00-18:00 Mars/Olympus",
    "0-4 08:00-18:00 ../../etc/passwd", "0-4 08:00-18:00 Europe", "0-4  08:00-18:00 UTC", "0-4 08:00-18:00 UTC ",
    ", 08:00-18:00 UTC",
    "0-4 ०८:00-18:00 UTC",
])
def test_anything_else_is_refused(text: str):
    with pytest.raises(BadHours):
        read(text)


def test_they_begin_and_end_by_their_own_zone_also_when_its_clocks_change():
    hours = read(OFFICE)
    assert not hours.hold(datetime(2026, 3, 27, 6, 59, 59, tzinfo=UTC)), "Friday, 07:59 in Berlin"
    assert hours.hold(datetime(2026, 3, 27, 7, tzinfo=UTC))
    assert hours.hold(datetime(2026, 3, 30, 6, tzinfo=UTC)), "Monday, 08:00 in Berlin, an hour earlier in UTC"
    assert not hours.hold(datetime(2026, 3, 30, 16, tzinfo=UTC))
    assert hours.following(datetime(2026, 3, 27, 17, tzinfo=UTC)) == datetime(2026, 3, 30, 6, tzinfo=UTC)
    assert "Monday, 30 March, 08:00 (Europe/Berlin)" in hours.opens(datetime(2026, 3, 28, tzinfo=UTC))


def test_business_time_stands_still_outside_of_them():
    hours = read("0-4 08:00-18:00 UTC")
    friday = datetime(2026, 3, 6, 16, tzinfo=UTC)
    assert hours.after(friday, timedelta(hours=4)) == datetime(2026, 3, 9, 10, tzinfo=UTC)
    assert hours.after(datetime(2026, 3, 7, tzinfo=UTC), timedelta(hours=10)) == datetime(2026, 3, 9, 18, tzinfo=UTC)
    assert hours.after(friday, timedelta(hours=2)) == datetime(2026, 3, 6, 18, tzinfo=UTC)
    assert hours.after(friday, timedelta(hours=900)) == friday + LONGEST, "never longer than anything may wait"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 6), min_size=1), st.integers(0, 23), st.integers(1, 24), st.integers(0, 200_000), st.sampled_from(
    ["UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns"]))
def test_what_follows_is_within_and_never_before(days, begin, length, minutes, zone):
    hours = Hours(tuple(sorted(days)), begin * 60, min(begin + length, 24) * 60, zone)
    at = MONDAY + timedelta(minutes=minutes)
    assert read(str(hours)) == hours
    assert hours.following(at) >= at
    assert hours.hold(hours.following(at))
    assert hours.hold(at) == (hours.following(at) == at)
    assert at < hours.after(at, timedelta(hours=1)) <= at + LONGEST
