"""Properties over every mix of what a hold asks for and what people say: nothing passes that its requirement does not allow.

The app's rules and the keeper's check are two pieces of code that must agree; the oracle here is a third, by brute force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, cast

import hypothesis.strategies as st
from hypothesis import given, settings

from tests.vault.samples import AGENT_OWNER, KEYS, OWNER, PRINCIPAL, envelope, statement
from vault import decided
from vault.evidence import Met, Need, satisfied
from webapp.approvals.rules import Given, Parties, Subject, resolve

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""A Monday at noon: the business day ends at 18:00, and what is held at 12:00 lapses at 20:00."""
OFFICE = "0-4 08:00-18:00 UTC"
PEOPLE = (PRINCIPAL, OWNER, AGENT_OWNER, "bob", "bea", "cleo", "dan")
GROUPS = ("finance", "legal")
PARTIES = frozenset({PRINCIPAL, OWNER, AGENT_OWNER})
STRENGTH = {"": 0, "totp": 1, "passkey": 2}


@dataclass(frozen=True)
class Said:
    person: str
    verdict: str
    groups: tuple[str, ...]
    factor: str
    minute: int

    @property
    def at(self) -> datetime:
        return NOW + timedelta(minutes=self.minute)


def need(kind: str, group: str, quorum: int, factor: str, hours: str) -> Need:
    confirm = kind == "confirm"
    found = {"kind": kind, "group": "" if confirm else group, "quorum": 1 if confirm else quorum, "factor": factor, "rule": "r"}
    return cast(Need, found | ({"hours": hours} if hours else {}))


needs = st.lists(
    st.builds(need, st.sampled_from(["approvers", "approvers", "confirm"]), st.sampled_from(GROUPS), st.integers(1, 2),
              st.sampled_from(["", "totp", "passkey"]), st.sampled_from(["", OFFICE])), min_size=1, max_size=3,
)
minutes_ = st.sampled_from([0, 0, 5, 120, 359, 360, 400])
anything = st.builds(
    Said, st.sampled_from(PEOPLE), st.sampled_from(["approve"] * 5 + ["confirm", "confirm", "reject"]),
    st.sets(st.sampled_from(GROUPS)).map(lambda one: tuple(sorted(one))), st.sampled_from(["passkey", "totp"]), minutes_,
)
able = st.sets(st.sampled_from(PEOPLE[3:]), min_size=1)
"""Those who could say yes to everything: without them next to nothing would ever be met, and the properties would say little."""
said = st.builds(
    lambda yes, owner, more, minute: [
        *(Said(one, "approve", GROUPS, "passkey", minute) for one in sorted(yes)),
        *([Said(OWNER, "confirm", (), "passkey", minute)] if owner else []), *more,
    ],
    able, st.booleans(), st.one_of(st.just([]), st.lists(anything, max_size=3)), minutes_,
)
links = st.one_of(st.just([]), st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), max_size=2))
undos = st.sampled_from([0, 10, 60])
moments = st.sampled_from([0, 1, 5, 121, 361, 401, 401, 479, 480])


def same_as(person: str, linked: list[tuple[str, str]]) -> frozenset[str]:
    human = {person}
    for _ in linked:
        for pair in linked:
            if human & set(pair):
                human |= set(pair)
    return frozenset(human)


def allowed(asked: list[Need], words: list[Said], linked: list[tuple[str, str]], undo: int, now: datetime) -> bool:
    """By brute force: some assignment of humans to seats meets every need, with what was said at least `undo` before."""
    if any(one.verdict == "reject" for one in words) or now >= NOW + timedelta(hours=8):
        return False
    before = [one for one in words if not undo or one.at + timedelta(seconds=undo) < now]
    confirms = [each for each in asked if each["kind"] == "confirm"]
    if confirms and not any(
        one.verdict == "confirm" and one.person == OWNER and all(_fits(each, one) for each in confirms) for one in before
    ):
        return False
    groups = {each["group"]: [other for other in asked if other["group"] == each["group"]] for each in asked if each["group"]}
    seats = [group for group, those in groups.items() for _ in range(max(each["quorum"] for each in those))]
    can = {
        group: {same_as(one.person, linked) for one in before if one.verdict == "approve" and group in one.groups
                and not same_as(one.person, linked) & PARTIES and all(_fits(each, one) for each in those)}
        for group, those in groups.items()
    }
    humans = set().union(*can.values()) if can else set()
    rows = permutations(humans, len(seats))
    return any(all(human in can[seat] for human, seat in zip(row, seats, strict=True)) for row in rows)


def _fits(asks: Need, one: Said) -> bool:
    return STRENGTH[one.factor] >= STRENGTH[asks["factor"]] and (not asks.get("hours") or 8 <= one.at.hour < 18)


def judged(
    asked: list[Need], words: list[Said], linked: list[tuple[str, str]], undo: int, now: datetime
) -> tuple[bool, bool]:
    """What the app and what the keeper say: may it run now?"""
    raw = envelope(*asked, now=NOW, undo=undo, expires_at=decided.stamp(NOW + timedelta(hours=8)))
    statements = [
        statement(raw, one.person, one.verdict, groups=list(one.groups), at=decided.stamp(one.at), nonce=str(number),
                  factor={"id": "f", "kind": one.factor, "created_at": decided.stamp(NOW)},
                  same_as=sorted(same_as(one.person, linked) - {one.person}))
        for number, one in enumerate(words)
    ]
    given_ = [Given(one.person, one.person, one.groups, cast(Any, one.verdict), one.factor, "", one.at,
                    tuple(same_as(one.person, linked) - {one.person})) for one in words]
    subject = Subject("held", Parties(PRINCIPAL, OWNER, AGENT_OWNER), tuple(asked), NOW + timedelta(hours=8), undo=undo)
    found = resolve(subject, given_, now)
    runs = found.state == "approved" and (found.runs_at is None or now >= found.runs_at)
    return runs, isinstance(satisfied(asked, statements, raw, keys=KEYS, now=now), Met)


@settings(max_examples=150, deadline=None)
@given(needs, said, links, undos, moments)
def test_nothing_runs_that_its_requirement_does_not_allow(
    asked: list[Need], words: list[Said], linked: list[tuple[str, str]], undo: int, minutes: int
) -> None:
    """App, keeper and oracle agree on what was said up to now; in whichever order it was written down, and however often."""
    now = NOW + timedelta(minutes=minutes, seconds=30)
    until_now = [one for one in words if one.at <= now]
    expected = allowed(asked, until_now, linked, undo, now)
    assert judged(asked, until_now, linked, undo, now) == (expected, expected)
    assert judged(asked, until_now[::-1], linked, undo, now) == (expected, expected)
    assert judged(asked, until_now + until_now, linked, undo, now) == (expected, expected)


@settings(max_examples=60, deadline=None)
@given(needs, said, links, undos, moments, st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)))
def test_more_links_a_longer_window_and_a_no_only_tighten(
    asked: list[Need], words: list[Said], linked: list[tuple[str, str]], undo: int, minutes: int, pair: tuple[str, str]
) -> None:
    now = NOW + timedelta(minutes=minutes, seconds=30)
    until_now = [one for one in words if one.at <= now]
    if judged(asked, until_now, linked, undo, now) == (False, False):
        assert judged(asked, until_now, [*linked, pair], undo, now) == (False, False)
        assert judged(asked, until_now, linked, max(undo, 60), now) == (False, False)
    no = Said("dan", "reject", ("finance",), "totp", 0)
    assert judged(asked, [*until_now, no], linked, undo, now) == (False, False)
