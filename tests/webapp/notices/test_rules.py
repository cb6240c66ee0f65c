"""What is told now, and when to look again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.notices.rules import DIGESTS, KINDS, QUARTER, Event, Preferences, Quiet, due, when

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca")
quarters = st.integers(0, 95).map(lambda one: one * 15)
moments = st.timedeltas(timedelta(), timedelta(days=1096)).map(lambda since: datetime(2024, 1, 1, tzinfo=UTC) + since)
quiets = st.none() | st.tuples(quarters, quarters).filter(lambda two: two[0] != two[1]).map(lambda two: Quiet(*two))


@st.composite
def preferences(draw: st.DrawFn) -> Preferences:
    return Preferences(
        kinds=frozenset(draw(st.sets(st.sampled_from(KINDS)))), zone=draw(st.sampled_from(ZONES)),
        digest=draw(st.sampled_from(DIGESTS)), daily_at=draw(quarters), quiet=draw(quiets), through=draw(st.booleans()),
        snoozed_until=draw(st.none() | moments),
    )


@st.composite
def events(draw: st.DrawFn, now: datetime) -> list[Event]:
    def one(number: int) -> Event:
        at = now - draw(st.timedeltas(timedelta(), timedelta(days=2)))
        lapses = draw(st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=3)).map(lambda left: at + left))
        return Event(str(number), draw(st.sampled_from(KINDS)), at, lapses)

    return [one(number) for number in range(draw(st.integers(0, 6)))]


@settings(max_examples=40, deadline=None)
@given(st.data(), moments, preferences())
def test_each_event_is_told_dropped_or_due_later_and_no_two_of_those(
    data: st.DataObject, now: datetime, prefs: Preferences
) -> None:
    given_ = data.draw(events(now))
    plan = due(now, prefs, given_)
    rest = {one.id for one in given_} - set(plan.told) - set(plan.dropped)
    assert not set(plan.told) & set(plan.dropped)
    assert (plan.again is not None) == bool(rest)
    assert plan.again is None or plan.again > now


@settings(max_examples=40, deadline=None)
@given(st.data(), moments, preferences())
def test_nothing_is_told_that_was_not_asked_for_or_has_lapsed(data: st.DataObject, now: datetime, prefs: Preferences) -> None:
    given_ = {one.id: one for one in data.draw(events(now))}
    for told in due(now, prefs, given_.values()).told:
        assert given_[told].kind in prefs.kinds
        assert given_[told].lapses is None or given_[told].lapses > now


@settings(max_examples=40, deadline=None)
@given(st.data(), moments, preferences())
def test_nothing_at_all_is_told_during_a_snooze(data: st.DataObject, now: datetime, prefs: Preferences) -> None:
    if prefs.snoozed_until is not None and prefs.snoozed_until > now:
        assert due(now, prefs, data.draw(events(now))).told == ()


@settings(max_examples=40, deadline=None)
@given(st.data(), moments, preferences())
def test_during_quiet_hours_only_what_lapses_before_their_end_is_told_and_only_where_that_is_wanted(
    data: st.DataObject, now: datetime, prefs: Preferences
) -> None:
    zone, given_ = ZoneInfo(prefs.zone), {one.id: one for one in data.draw(events(now))}
    if prefs.quiet is None or not prefs.quiet.holds(now, zone):
        return
    end = prefs.quiet.end(now, zone)
    for told in due(now, prefs, given_.values()).told:
        lapses = given_[told].lapses
        assert prefs.through
        assert lapses is not None
        assert lapses <= end


@settings(max_examples=40, deadline=None)
@given(moments, quarters, quarters, st.sampled_from(ZONES))
def test_quiet_hours_end_at_the_first_quarter_that_is_not_quiet_within_a_day_and_an_hour(
    at: datetime, first: int, last: int, name: str
) -> None:
    """Over every change of the clock: also where the end is left out, or comes twice."""
    if first == last:
        return
    quiet, zone = Quiet(first, last), ZoneInfo(name)
    if not quiet.holds(at, zone):
        return
    end = quiet.end(at, zone)
    assert at < end <= at + timedelta(hours=25, minutes=15)
    assert not quiet.holds(end, zone)
    before = end - QUARTER
    assert before <= at or quiet.holds(before, zone)


@settings(max_examples=40, deadline=None)
@given(st.data(), moments, preferences())
def test_whoever_looks_again_when_it_is_said_tells_everything_that_is_not_dropped(
    data: st.DataObject, now: datetime, prefs: Preferences
) -> None:
    left = {one.id: one for one in data.draw(events(now))}
    for _ in range(60):
        plan = due(now, prefs, left.values())
        for done in (*plan.told, *plan.dropped):
            del left[done]
        if plan.again is None:
            break
        now = plan.again
    assert left == {}


@settings(max_examples=40, deadline=None)
@given(st.data(), moments, preferences())
def test_a_digest_and_quiet_hours_that_let_it_through_never_cost_a_decision(
    data: st.DataObject, now: datetime, prefs: Preferences
) -> None:
    """What somebody wants to be told is told before it lapses, unless they silenced everything."""
    if prefs.snoozed_until is not None or not prefs.through:
        return
    for event in data.draw(events(now)):
        if event.lapses is not None and event.lapses > now:
            assert when(now, prefs, event) < event.lapses


def _berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


def test_the_daily_digest_comes_once_on_the_day_that_leaves_its_hour_out() -> None:
    """29 March 2026 has no 2:30 in Berlin: it comes at 3:00 then, and at 2:30 the day after."""
    prefs = Preferences(zone="Europe/Berlin", digest="daily", daily_at=2 * 60 + 30)
    first = when(_berlin("2026-03-28T22:00"), prefs, Event("1", "approve", _berlin("2026-03-28T22:00")))
    assert first == _berlin("2026-03-29T03:00")
    assert when(first, prefs, Event("2", "approve", first)) == _berlin("2026-03-30T02:30")


def test_the_daily_digest_comes_once_on_the_day_that_has_its_hour_twice() -> None:
    prefs = Preferences(zone="Europe/Berlin", digest="daily", daily_at=2 * 60 + 30)
    first = when(_berlin("2026-10-24T22:00"), prefs, Event("1", "approve", _berlin("2026-10-24T22:00")))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert when(first, prefs, Event("2", "approve", first)) == _berlin("2026-10-26T02:30")


def test_quiet_hours_are_an_hour_shorter_in_the_night_that_is() -> None:
    quiet, zone = Quiet(22 * 60, 7 * 60), ZoneInfo("Europe/Berlin")
    start = _berlin("2026-03-28T22:00")
    assert quiet.end(start, zone) - start == timedelta(hours=8)
    start = _berlin("2026-10-24T22:00")
    assert quiet.end(start, zone) - start == timedelta(hours=10)


def test_what_lapses_before_its_digest_is_told_at_once() -> None:
    now = datetime(2026, 6, 1, 10, 5, tzinfo=UTC)
    prefs = Preferences(digest="hourly")
    assert due(now, prefs, [Event("1", "approve", now, now + timedelta(minutes=50))]).told == ("1",)
    assert due(now, prefs, [Event("2", "approve", now, now + timedelta(hours=2))]).again == now.replace(hour=11, minute=0)


def test_a_night_keeps_what_can_wait_and_lets_through_what_cannot() -> None:
    now = datetime(2026, 6, 1, 23, 0, tzinfo=UTC)
    events_ = [Event("soon", "approve", now, now + timedelta(hours=2)), Event("later", "approve", now, now + timedelta(hours=20))]
    prefs = Preferences(quiet=Quiet(22 * 60, 7 * 60))
    plan = due(now, prefs, events_)
    assert (plan.told, plan.again) == (("soon",), datetime(2026, 6, 2, 7, 0, tzinfo=UTC))
    assert due(now, Preferences(quiet=Quiet(22 * 60, 7 * 60), through=False), events_).told == ()
