"""What lists are narrowed to, when what was put off comes back, and what a spreadsheet is given: as plain values."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.approvals.desk import export, filters, listing, saved, snoozing
from webapp.approvals.seen import Known
from webapp.errors import BadInput

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
moments = st.timedeltas(timedelta(days=-330), timedelta(days=40)).map(lambda since: NOW + since)


@settings(deadline=None)
@given(st.timedeltas(timedelta(seconds=-60), timedelta(days=40)), st.timedeltas(timedelta(0), timedelta(days=3)))
def test_what_is_put_off_comes_back_with_time_to_decide(lives: timedelta, asked: timedelta) -> None:
    """Never after its expiry, never later than asked, and at least 15 minutes before it lapses; else it is not put off."""
    back = snoozing.wake_at(NOW + asked, NOW + lives, NOW)
    if back is not None:
        assert NOW < back <= NOW + asked
        assert NOW + lives - back >= timedelta(minutes=15)
    elif asked >= timedelta(minutes=1):
        assert lives < timedelta(minutes=25)


@settings(deadline=None)
@given(moments, st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Asia/Kathmandu"]))
def test_tomorrow_is_eight_oclock_of_the_next_day_where_the_person_is(now: datetime, zone: str) -> None:
    there = ZoneInfo(zone)
    until = snoozing.asked_for("tomorrow", now, zone).astimezone(there)
    assert (until.hour, until.minute) == (8, 0)
    assert until.date() == now.astimezone(there).date() + timedelta(days=1)


@pytest.mark.parametrize("choice", ["", "never", "99h", "1h "])
def test_nothing_is_put_off_for_a_time_that_is_no_choice(choice: str) -> None:
    with pytest.raises(BadInput):
        snoozing.asked_for(choice, NOW, "UTC")


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={
    "q": st.text(max_size=40), "server": st.text(max_size=20), "low": st.sampled_from(["", "0", "1000", "12.50"]),
    "high": st.sampled_from(["", "5000", "5000.0001"]), "cls": st.sampled_from(["", "money"]),
    "currency": st.sampled_from(["eur", ""]),
    "state": st.sampled_from(["", "done"]), "expiring": st.sampled_from(["", "4"]), "first": st.sampled_from(["", "1"]),
    "tab": st.just("mine"),
}))
def test_an_address_says_the_same_when_it_is_read_again(args: dict[str, str]) -> None:
    from urllib.parse import parse_qsl

    asked = filters.read(args)
    assert filters.read(dict(parse_qsl(asked.query(tab="mine")))) == asked
    assert bool(asked) == bool(asked.query())


@pytest.mark.parametrize(("args", "words"), [
    ({"low": "1,000"}, "1000.50"), ({"high": "-5"}, "1000.50"), ({"low": "1e9"}, "1000.50"), ({"low": "٣"}, "1000.50"),
    ({"low": "9", "high": "8.99"}, "larger"), ({"q": "x" * 101}, "100 characters"), ({"currency": "EURO"}, "three letters"),
    ({"cls": "harmless"}, "not known"), ({"expiring": "9999999"}, "not known"), ({"state": "approve"}, "not known"),
], ids=lambda value: value if isinstance(value, str) else "-".join(value))
def test_a_filter_that_is_not_understood_is_refused_in_words_that_help(args: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        filters.read(args)
    assert words in refused.value.hint


@settings(deadline=None)
@given(st.text())
def test_no_cell_begins_a_formula(text: str) -> None:
    cell = export.harmless(text)
    assert cell.endswith(text)
    assert cell.lstrip()[:1] not in ("=", "+", "-", "@", "＝", "＋", "－", "＠")
    assert cell[:1] not in ("\t", "\r", "\n")


ATTACKS = ["=HYPERLINK(\"http://evil.example\")", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r\n=1", " =1", "＝1", "|calc"]


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_known_formulas_are_text(attack: str) -> None:
    assert export.harmless(attack) == "'" + attack
    row = export._lines([[export.harmless(attack), "a\"b"]])
    assert next(csv.reader(io.StringIO(row.decode(), newline=""))) == ["'" + attack, 'a"b']
    assert row.endswith(b'"a""b"\r\n')


def test_amounts_are_exact_in_every_currency() -> None:
    assert [export.amount(*one) for one in [(480000, "EUR"), (1, "EUR"), (5000, "JPY"), (1234, "KWD"), (None, None)]] == [
        "4800.00", "0.01", "5000", "1.234", ""]


def test_ids_that_are_none_are_left_out_and_never_more_than_a_page() -> None:
    assert listing.ids_of("act_1,act_1,act_x',../etc,per_1,,act_2", 50) == ("act_1", "act_2")
    assert len(listing.ids_of(",".join(f"act_{number}" for number in range(500)), 50)) == 50


def test_an_address_of_a_view_stays_on_this_site() -> None:
    assert saved.address("me", "") == "/actions"
    assert saved.address("mine", "q=%2F%2Fevil.example") == "/actions?tab=mine&q=%2F%2Fevil.example"
    assert saved.address("all", "state=done") == "/history?state=done"


def test_marks_that_are_known_are_bounded() -> None:
    known = Known(most=3)
    known.add("per_1", ["a", "b"])
    assert known.missing("per_1", ["a", "b", "c"]) == ["c"]
    assert known.missing("per_2", ["a"]) == ["a"]
    known.add("per_2", ["a", "b"])
    assert known.missing("per_1", ["a"]) == ["a"]
