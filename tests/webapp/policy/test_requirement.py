"""What a hold asks for is understood wholly or not at all, and several holds ask for at least as much as each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.evidence import MOST_STEPS, Hours, Need
from webapp.policy.errors import PolicyRefused
from webapp.policy.requirement import LARGEST_QUORUM, MATCH, STRENGTH, WORDS, Factor, Requirement, Sum, add_up, parse

groups = st.from_regex(r"[a-z][a-z0-9._-]{0,12}", fullmatch=True)
factors: st.SearchStrategy[Factor] = st.sampled_from(["", "totp", "passkey"])
undos = st.sampled_from([0, 10, 30, 60])
times = st.one_of(
    st.integers(0, 500).map(lambda minutes: {"within": minutes * 60 and max(minutes, 2) * 60}),
    st.integers(1, 400).map(lambda hours: {"within": hours * 3600, "business": True}),
)
quorums = st.integers(1, LARGEST_QUORUM)
NOW = datetime(2026, 3, 6, 17, tzinfo=UTC)
"""A Friday, an hour before the end of business."""
OFFICE = Hours((0, 1, 2, 3, 4), 8 * 60, 18 * 60, "UTC")


steps = st.lists(st.tuples(st.integers(1, 600), groups), max_size=MOST_STEPS, unique_by=(lambda one: one[0], lambda one: one[1]))


def made(
    kind: str, group: str, quorum: int, factor: Factor, time: dict[str, Any], hours: bool, undo: int,
    later: list[tuple[int, str]] | None = None,
) -> Requirement:
    escalate = tuple((minutes * 60, other) for minutes, other in sorted(later or ()) if other != group)
    return Requirement(cast(Any, kind), group, quorum, factor, **time, hours=hours, undo=undo, escalate=escalate)


requirements = st.one_of(
    st.builds(made, st.just("confirm"), st.just(""), st.just(1), factors, times, st.booleans(), undos),
    st.builds(made, st.just("approvers"), groups, quorums, factors, times, st.booleans(), undos, steps),
)
some = st.lists(requirements, min_size=1, max_size=3).map(tuple)
holds = st.lists(st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), some), max_size=6)


@given(st.lists(requirements, min_size=1, max_size=4))
def test_what_is_written_is_what_is_read(given_: list[Requirement]) -> None:
    assert parse(", ".join(map(str, given_))) == tuple(given_)


@pytest.mark.parametrize("text", [
    "", " ", ",", "confirm,", "confirm, ,confirm", "approve", "Confirm", "approvers", "approvers=", "approvers=a b",
    "approvers=fin@nce!", "confirm quorum=1", "approvers=finance quorum=0", "approvers=finance quorum=-1",
    "approvers=finance quorum=1.5",
    "approvers=finance quorum=", "approvers=finance quorum=99", "approvers=finance quorum=٢",
    "approvers=finance quorum=2 quorum=1",
    "confirm factor=sms", "confirm factor=", "confirm factor=passkey factor=totp", "confirm factor", "confirm fcator=passkey",
    "confirm within=0m", "confirm within=4", "confirm within=-4h", "confirm within=31d", "confirm within=4H",
    "confirm within=1.5h", "confirm confirm", "confirm approvers=finance", "approvers=finance confirm",
    "confirm;approvers=finance", "quorum=2 approvers=finance",
    "confirm undo=0s", "confirm undo=9s", "confirm undo=61s", "confirm undo=30", "confirm undo=1m", "confirm undo=030s",
    "confirm undo=", "confirm undo=30s undo=30s", "confirm undo=-30s", "confirm undo=٣٠s",
    "confirm hours=", "confirm hours=always", "confirm hours=0-4", "confirm hours", "confirm hours=business hours=business",
    "confirm within=4bd", "confirm within=bh", "confirm within=0bh", "confirm within=4 bh", "confirm within=721bh",
    "confirm within=1m undo=10s", "confirm undo=60s within=1m",
    "confirm escalate=30m:leads", "approvers=finance escalate=", "approvers=finance escalate=30m",
    "approvers=finance escalate=30m:",
    "approvers=finance escalate=30m:finance", "approvers=finance escalate=30m:leads+", "approvers=finance escalate=+30m:leads",
    "approvers=finance escalate=30m:leads+30m:board", "approvers=finance escalate=2h:leads+30m:board",
    "approvers=finance escalate=30m:leads+2h:leads", "approvers=finance escalate=30m:leads+2h:finance",
    "approvers=finance escalate=30m:leads+2bh:board", "approvers=finance escalate=30m:leads,2h:board",
    "approvers=finance escalate=30m:leads escalate=2h:board", "approvers=finance escalate=1m:a+2m:b+3m:c+4m:d+5m:e",
    "approvers=finance match", "confirm match match", "confirm match=yes", "confirm match=", "match", "confirm Match",
])
def test_what_is_not_understood_refuses_the_set(text: str) -> None:
    with pytest.raises(PolicyRefused):
        parse(text)


@given(st.text(max_size=40))
def test_nothing_unknown_is_passed_over(text: str) -> None:
    """Whatever is accepted says no more than what was read from it."""
    try:
        found = parse(text)
    except PolicyRefused:
        return
    assert parse(", ".join(map(str, found))) == found
    assert len(text.replace(",", " ").split()) == sum(
        1 + sum(f"{word}=" in part for word in WORDS) + part.split().count(MATCH) for part in text.split(",")
    )


@given(holds)
def test_every_need_of_every_hold_is_met_when_the_sum_is(given_: list[tuple[str, tuple[Requirement, ...]]]) -> None:
    total = summed(given_)
    for _, asked in given_:
        for each in asked:
            assert any(_covers(need, each) for need in total.needs)
            assert not each.within or total.within <= each.lasts(NOW, OFFICE)
            assert total.undo >= each.undo
    each_of = [each for _, asked in given_ for each in asked]
    assert total.within == min([each.lasts(NOW, OFFICE) for each in each_of if each.within], default=7200)
    assert total.undo == max((each.undo for each in each_of), default=0)


@given(holds)
def test_the_sum_asks_for_nothing_that_no_hold_asked_for(given_: list[tuple[str, tuple[Requirement, ...]]]) -> None:
    asked = [each.need(rule, OFFICE) for rule, requirements in given_ for each in requirements]
    assert all(need in asked for need in summed(given_).needs)


def test_a_confirmation_with_a_number_is_written_as_it_is_read_and_is_not_folded_into_one_without() -> None:
    """Attack on a sum: two rules hold one call, and the stricter one is lost in the other."""
    plain, strong, both = parse("confirm")[0], parse("confirm factor=passkey")[0], parse("confirm factor=totp match within=4h")[0]
    assert (str(both), both.match) == ("confirm factor=totp within=4h match", True)
    needs = [dict(one) for one in summed([("a", (plain,)), ("b", (both,))]).needs]
    assert needs == [{"kind": "confirm", "group": "", "quorum": 1, "factor": "totp", "rule": "b", "match": True}]
    assert [need.get("match", False) for need in summed([("a", (strong,)), ("b", (both,))]).needs] == [False, True]


def test_a_weaker_need_is_folded_into_a_stronger_one_and_no_further() -> None:
    total = summed([
        ("a", parse("confirm, approvers=finance quorum=2 within=4h")),
        ("b", parse("approvers=finance factor=passkey within=30m, confirm factor=totp")),
        ("c", parse("confirm")),
    ])
    assert [(need["kind"], need["quorum"], need["factor"], need["rule"]) for need in total.needs] == [
        ("approvers", 2, "", "a"), ("approvers", 1, "passkey", "b"), ("confirm", 1, "totp", "b"),
    ]
    assert total.within == 1800


def test_hours_are_written_out_and_never_folded_into_a_need_without() -> None:
    total = summed([("a", parse("approvers=finance hours=business")), ("b", parse("approvers=finance quorum=2"))])
    assert [(need["quorum"], need.get("hours", "")) for need in total.needs] == [(1, str(OFFICE)), (2, "")]
    total = summed([("a", parse("confirm hours=business")), ("b", parse("confirm"))])
    assert [need["rule"] for need in total.needs] == ["a"]


def test_steps_are_written_out_and_no_need_is_folded_into_one_that_lets_others_in() -> None:
    plain, steps = parse("approvers=finance"), parse("approvers=finance quorum=2 escalate=30m:leads+2h:board")
    assert str(steps[0]) == "approvers=finance quorum=2 escalate=30m:leads+2h:board"
    assert steps[0].need("a").get("escalate") == [{"after": 1800, "group": "leads"}, {"after": 7200, "group": "board"}]
    assert parse("approvers=finance escalate=30m:leads")[0].need("a").get("escalate") == {"after": 1800, "group": "leads"}
    assert len(summed([("a", steps), ("b", plain)]).needs) == 2
    assert len(summed([("a", steps), ("b", parse("approvers=finance escalate=30m:leads+2h:board"))]).needs) == 1


def test_business_time_runs_on_the_next_business_day() -> None:
    assert summed([("a", parse("confirm within=4bh"))]).within == 66 * 3600, "Monday at 11:00"
    assert summed([("a", parse("confirm within=4bh")), ("b", parse("confirm within=2d"))]).within == 2 * 86400
    assert summed([("a", parse("confirm within=720bh"))]).within == 30 * 86400, "never longer than anything may wait"


def test_the_longest_undo_window_of_several_counts_for_a_confirmation_too() -> None:
    assert summed([("a", parse("confirm undo=10s")), ("b", parse("confirm undo=45s, approvers=finance"))]).undo == 45
    assert summed([("a", parse("confirm"))]).undo == 0


def summed(given_: Iterable[tuple[str, tuple[Requirement, ...]]]) -> Sum:
    return add_up(given_, 7200, now=NOW, hours=OFFICE)


def _covers(need: Need, each: Requirement) -> bool:
    return (
        (need["kind"], need["group"]) == (each.kind, each.group) and need["quorum"] >= each.quorum
        and STRENGTH[need["factor"]] >= STRENGTH[each.factor] and (not each.hours or need.get("hours") == str(OFFICE))
    )
