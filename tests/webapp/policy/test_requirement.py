"""What a hold asks for is understood wholly or not at all, and several holds ask for at least as much as each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.evidence import Need
from webapp.policy.errors import PolicyRefused
from webapp.policy.requirement import LARGEST_QUORUM, STRENGTH, Requirement, add_up, parse

groups = st.from_regex(r"[a-z][a-z0-9._-]{0,12}", fullmatch=True)
factors = st.sampled_from(["", "totp", "passkey"])
times = st.integers(0, 500).map(lambda minutes: minutes * 60)
quorums = st.integers(1, LARGEST_QUORUM)
requirements = st.one_of(
    st.builds(Requirement, kind=st.just("confirm"), factor=factors, within=times),
    st.builds(Requirement, kind=st.just("approvers"), group=groups, quorum=quorums, factor=factors, within=times),
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
        1 + ("quorum=" in part) + ("factor=" in part) + ("within=" in part) for part in text.split(",")
    )


@given(holds)
def test_every_need_of_every_hold_is_met_when_the_sum_is(given_: list[tuple[str, tuple[Requirement, ...]]]) -> None:
    needs, within = add_up(given_, 7200)
    for _, asked in given_:
        for each in asked:
            assert any(_covers(need, each) for need in needs)
            assert not each.within or within <= each.within
    assert within == min([each.within for _, asked in given_ for each in asked if each.within], default=7200)


@given(holds)
def test_the_sum_asks_for_nothing_that_no_hold_asked_for(given_: list[tuple[str, tuple[Requirement, ...]]]) -> None:
    asked = [each.need(rule) for rule, requirements in given_ for each in requirements]
    assert all(need in asked for need in add_up(given_, 7200)[0])


def test_a_weaker_need_is_folded_into_a_stronger_one_and_no_further() -> None:
    needs, within = add_up([
        ("a", parse("confirm, approvers=finance quorum=2 within=4h")),
        ("b", parse("approvers=finance factor=passkey within=30m, confirm factor=totp")),
        ("c", parse("confirm")),
    ], 9000)
    assert [(need["kind"], need["quorum"], need["factor"], need["rule"]) for need in needs] == [
        ("approvers", 2, "", "a"), ("approvers", 1, "passkey", "b"), ("confirm", 1, "totp", "b"),
    ]
    assert within == 1800


def _covers(need: Need, each: Requirement) -> bool:
    return (
        (need["kind"], need["group"]) == (each.kind, each.group) and need["quorum"] >= each.quorum
        and STRENGTH[need["factor"]] >= STRENGTH[each.factor]
    )
