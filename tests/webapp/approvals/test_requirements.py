"""Properties over every mix of what a hold asks for and what people say: nothing passes that its requirement does not allow.

The app's rules and the keeper's check are two pieces of code that must agree; the oracle here is a third, by brute force. Both
read the same signed statements: memberships, what was lent, the number of the agent's screen, and what broke the glass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.vault.samples import AGENT_OWNER, KEYS, OWNER, PRINCIPAL, envelope, statement
from vault import decided
from vault.evidence import GLASS_REASON, Met, Need, Statement, digest, read_envelope, satisfied
from webapp.approvals.decisions import verify
from webapp.approvals.rules import Parties, Subject, resolve
from webapp.approvals.tables import Decision

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""A Monday at noon: the business day ends at 18:00, and what is held at 12:00 lapses at 20:00."""
OFFICE = "0-4 08:00-18:00 UTC"
PEOPLE = (PRINCIPAL, OWNER, AGENT_OWNER, "bob", "bea", "cleo", "dan")
GROUPS = ("finance", "legal")
LEADS, BOARD = "leads", "board"
"""Asked of nobody at first: the rule may let them decide in another group's place after a while, each at its own time."""
PARTIES = frozenset({PRINCIPAL, OWNER, AGENT_OWNER})
STRENGTH = {"idp ": -1, "": 0, "totp": 1, "idp totp": 1, "passkey": 2, "idp passkey": 2}


@dataclass(frozen=True)
class Lent:
    """A colleague's membership. `fits`: its scope names this server."""

    group: str
    by: str
    until: int
    fits: bool
    factor: str


@dataclass(frozen=True)
class Said:
    person: str
    verdict: str
    groups: tuple[str, ...]
    factor: str
    minute: int
    lent: tuple[Lent, ...] = ()
    matched: bool = False
    reason: str = ""

    @property
    def at(self) -> datetime:
        return NOW + timedelta(minutes=self.minute)


Steps = tuple[tuple[str, int], ...]
"""Groups and minutes, the earliest first."""


def need(kind: str, group: str, quorum: int, factor: str, hours: str, steps: Steps, match: bool) -> Need:
    confirm = kind == "confirm"
    found = {"kind": kind, "group": "" if confirm else group, "quorum": 1 if confirm else quorum, "factor": factor, "rule": "r"}
    if confirm:
        found |= {"match": True} if match else {}
    elif steps and group not in dict(steps):
        found["escalate"] = _escalate(steps)
    return cast(Need, found | ({"hours": hours} if hours else {}))


def _escalate(steps: Steps) -> Any:
    found = [{"group": other, "after": after * 60} for other, after in steps]
    return found if len(found) > 1 else found[0]


def stepped(asked: list[Need], steps: Steps) -> list[Need]:
    """All of them let these in; none: as they are."""
    step = {"escalate": _escalate(steps)} if steps else {}
    return [cast(Need, {**each, **(step if each["kind"] == "approvers" else {})}) for each in asked]


ONE_BY_ONE: list[Steps] = [
    (), (), ((LEADS, 5),), ((LEADS, 120),), (("finance", 5),), ((LEADS, 5), (BOARD, 120)), ((BOARD, 5), (LEADS, 120)),
]
needs = st.builds(stepped, st.lists(
    st.builds(need, st.sampled_from(["approvers", "approvers", "confirm"]), st.sampled_from(GROUPS), st.integers(1, 2),
              st.sampled_from(["", "totp", "passkey"]), st.sampled_from(["", OFFICE]),
              st.sampled_from(ONE_BY_ONE), st.sampled_from([False, False, True])), min_size=1, max_size=3,
), st.sampled_from([
    (), (), ((LEADS, 5),), ((LEADS, 120),), ((BOARD, 5), (LEADS, 120)), ((LEADS, 5), (BOARD, 120), ("owners", 360)),
]))
minutes_ = st.sampled_from([0, 0, 5, 120, 359, 360, 400])
lent = st.lists(st.builds(
    Lent, st.sampled_from([*GROUPS, LEADS, BOARD]), st.sampled_from(["erin", "frank", "bob", OWNER]),
    st.sampled_from([5, 500, 500]), st.sampled_from([True, True, False]), st.sampled_from(["passkey", "passkey", "totp"]),
), max_size=2, unique_by=lambda one: one.group).map(tuple)
no_loan = st.just(())
anything = st.builds(
    Said, st.sampled_from(PEOPLE), st.sampled_from(["approve"] * 5 + ["confirm", "confirm", "reject", "break_glass"]),
    st.sets(st.sampled_from([*GROUPS, LEADS, BOARD])).map(lambda one: tuple(sorted(one))),
    st.sampled_from(["passkey", "totp", "idp passkey", "idp totp", "idp "]), minutes_, st.one_of(no_loan, lent), st.booleans(),
    st.sampled_from(["", "x" * GLASS_REASON]),
)
HOW: tuple[tuple[str, ...], ...] = (GROUPS, GROUPS, (LEADS,), (BOARD,), ())
able = st.dictionaries(st.sampled_from(PEOPLE[3:]), st.sampled_from(["erin", "frank"]), min_size=1)
"""Those who could say yes to much: by their own groups, by leading those who were asked, or by what others lent them. Without
them next to nothing would ever be met, and the properties would say little."""
strong = st.sampled_from(["passkey", "passkey", "idp passkey"])
alone = st.builds(
    lambda broke, minute: [Said("dan", "break_glass", (), "passkey", minute, reason="x" * GLASS_REASON)] * broke,
    st.sampled_from([0] * 7 + [1]), minutes_,
)


def _yes(person: str, lender: str, groups: tuple[str, ...], factor: str, minute: int) -> Said:
    loans = () if groups else tuple(Lent(group, lender, 500, True, "passkey") for group in GROUPS)
    return Said(person, "approve", groups, factor, minute, loans)


said = st.builds(
    lambda yes, how, factor, owner, more, glass, minute: [
        *(_yes(one, lender, how, factor, minute) for one, lender in sorted(yes.items())),
        *([Said(OWNER, "confirm", (), factor, minute, matched=owner == "number")] if owner else []), *more, *glass,
    ],
    able, st.sampled_from(HOW), strong, st.sampled_from(["", "number", "number", "no number"]),
    st.one_of(st.just([]), st.lists(anything, max_size=3)), alone, minutes_,
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
    """By brute force: some assignment of humans to seats meets every need, or somebody broke the glass, with what was said at
    least `undo` before. Whoever lent a membership that was used is one human with whoever used it."""
    linked = [*linked, *((one.person, loan.by) for one in words for loan in one.lent if _used(loan, one, asked))]
    if any(one.verdict == "reject" for one in words) or now >= NOW + timedelta(hours=8):
        return False
    before = [one for one in words if not undo or one.at + timedelta(seconds=undo) < now]
    if any(one.verdict == "break_glass" and one.factor == "passkey" and len(one.reason) >= GLASS_REASON
           and not same_as(one.person, linked) & PARTIES for one in before):
        return True
    confirms = [each for each in asked if each["kind"] == "confirm"]
    if confirms and not any(
        one.verdict == "confirm" and one.person == OWNER and all(_fits(each, one) for each in confirms) for one in before
    ):
        return False
    groups = {each["group"]: [other for other in asked if other["group"] == each["group"]] for each in asked if each["group"]}
    seats = [group for group, those in groups.items() for _ in range(max(each["quorum"] for each in those))]
    can = {
        group: {same_as(one.person, linked) for one in before if one.verdict == "approve" and _speaks(one, group, asked)
                and not same_as(one.person, linked) & PARTIES and all(_fits(each, one) for each in those)}
        for group, those in groups.items()
    }
    humans = set().union(*can.values()) if can else set()
    rows = permutations(humans, len(seats))
    return any(all(human in can[seat] for human, seat in zip(row, seats, strict=True)) for row in rows)


def _fits(asks: Need, one: Said) -> bool:
    number = one.matched or not asks.get("match")
    return STRENGTH[one.factor] >= STRENGTH[asks["factor"]] and number and (not asks.get("hours") or 8 <= one.at.hour < 18)


def _used(loan: Lent, one: Said, asked: list[Need]) -> bool:
    strong = loan.factor == "passkey" or all(each["factor"] != "passkey" for each in asked if each["kind"] == "approvers")
    return loan.fits and one.minute < loan.until and strong


def _speaks(one: Said, group: str, asked: list[Need]) -> bool:
    """For this group: as of it, as lent it, or as of one that every need of it lets step in by then."""
    of = {*one.groups} - {loan.group for loan in one.lent} | {loan.group for loan in one.lent if _used(loan, one, asked)}
    those = [each.get("escalate") or () for each in asked if each["group"] == group]
    rules = [[step] if isinstance(step, dict) else [*step] for step in those]
    return group in of or any(
        all(any(step["group"] == other and one.minute * 60 >= step["after"] for step in steps) for steps in rules) for other in of
    )


def judged(
    asked: list[Need], words: list[Said], linked: list[tuple[str, str]], undo: int, now: datetime
) -> tuple[bool, bool]:
    """What the app and what the keeper say: may it run now?"""
    raw, statements = _signed_by(asked, words, linked, undo)
    rows = [Decision(id="dec", action="act_one", person="", verdict="", body=one.body, signature=one.signature, entry="", at=NOW)
            for one in statements]
    given_ = verify(rows, expected_action="act_one", expected_digest=digest(raw), keys=KEYS, envelope=read_envelope(raw)).given
    assert len(given_) == len(rows)
    subject = Subject("held", Parties(PRINCIPAL, OWNER, AGENT_OWNER), tuple(asked), NOW + timedelta(hours=8), undo=undo)
    found = resolve(subject, given_, now)
    runs = found.state == "approved" and (found.runs_at is None or now >= found.runs_at)
    return runs, isinstance(satisfied(asked, statements, raw, keys=KEYS, now=now), Met)


def _signed_by(
    asked: list[Need], words: list[Said], linked: list[tuple[str, str]], undo: int
) -> tuple[bytes, list[Statement]]:
    """The document, and what was said on it as the keeper signs it."""
    raw = envelope(*asked, now=NOW, undo=undo, expires_at=decided.stamp(NOW + timedelta(hours=8)))
    return raw, [
        statement(raw, one.person, one.verdict, groups=sorted({*one.groups, *(loan.group for loan in one.lent)}),
                  at=decided.stamp(one.at), nonce=str(number), factor=_factor(one.factor), reason=one.reason,
                  matched=one.matched, delegated={loan.group: _signed(loan) for loan in one.lent},
                  same_as=sorted(same_as(one.person, linked) - {one.person}))
        for number, one in enumerate(words)
    ]


def _factor(name: str) -> dict[str, str]:
    kind, _, strength = name.partition(" ")
    return {"id": "f", "kind": kind, "created_at": decided.stamp(NOW)} | ({"strength": strength} if kind == "idp" else {})


def _signed(loan: Lent) -> dict[str, Any]:
    scope = {"servers": ["bank"] if loan.fits else ["elsewhere"], "classes": [], "up_to": None}
    return {"id": "del", "by": loan.by, "until": decided.stamp(NOW + timedelta(minutes=loan.until)), "scope": scope,
            "factor": loan.factor}


def _asks(kind: str = "approvers", quorum: int = 1, factor: str = "", **more: Any) -> Need:
    return need(kind, "finance", quorum, factor, "", more.get("steps", ()), more.get("match", False))


def _by_loan(lender: str, minute: int = 0, *, until: int = 500, fits: bool = True, factor: str = "passkey") -> Said:
    return Said("dan", "approve", (), "passkey", minute, (Lent("finance", lender, until, fits, factor),))


ONE, TWO, STRONG = [_asks()], [_asks(quorum=2)], [_asks(factor="passkey")]
LATER, NUMBER = [_asks(steps=((LEADS, 5),))], [_asks("confirm", match=True)]
TWICE = [_asks(steps=((LEADS, 5), (BOARD, 120)))]
BOB, CHAIR = Said("bob", "approve", ("finance",), "passkey", 0), ("cleo", "approve", (BOARD,), "passkey")
LEAD, LONG = ("dan", "approve", (LEADS,), "passkey"), "x" * GLASS_REASON
GLASS = Said("dan", "break_glass", (), "passkey", 0, reason=LONG)
EDGES: list[tuple[list[Need], list[Said], bool]] = [
    (LATER, [Said(*LEAD, 5)], True), (LATER, [Said(*LEAD, 0)], False), (ONE, [Said(*LEAD, 5)], False),
    ([*LATER, *ONE], [Said(*LEAD, 5)], False), ([*LATER, _asks(steps=((LEADS, 120),))], [Said(*LEAD, 5)], False),
    (TWICE, [Said(*LEAD, 5)], True), (TWICE, [Said(*CHAIR, 120)], True), (TWICE, [Said(*CHAIR, 119)], False),
    ([*TWICE, *LATER], [Said(*CHAIR, 120)], False), ([*TWICE, *LATER], [Said(*LEAD, 5)], True),
    (TWO, [BOB, _by_loan("erin")], True), (TWO, [BOB, _by_loan("bob")], False), (ONE, [_by_loan(OWNER)], False),
    (ONE, [_by_loan("erin", 5, until=5)], False), (ONE, [_by_loan("erin", fits=False)], False),
    (ONE, [_by_loan("erin", factor="totp")], True), (STRONG, [_by_loan("erin", factor="totp")], False),
    (NUMBER, [Said(OWNER, "confirm", (), "passkey", 0, matched=True)], True),
    (NUMBER, [Said(OWNER, "confirm", (), "passkey", 0)], False),
    (TWO, [GLASS], True), (TWO, [replace(GLASS, reason="x")], False), (TWO, [replace(GLASS, person=OWNER)], False),
    (TWO, [replace(GLASS, factor="totp")], False), (TWO, [replace(GLASS, factor="idp passkey")], False),
    (STRONG, [replace(BOB, factor="idp passkey")], True), (STRONG, [replace(BOB, factor="idp totp")], False),
    (ONE, [replace(BOB, factor="idp totp")], True), (ONE, [replace(BOB, factor="idp ")], False),
]
"""What is drawn at random meets each of these too seldom to count on."""


@pytest.mark.parametrize(("asked", "words", "may"), EDGES)
def test_what_is_just_enough_and_what_is_just_not(asked: list[Need], words: list[Said], may: bool) -> None:
    now = NOW + timedelta(minutes=121)
    assert (allowed(asked, words, [], 0, now), *judged(asked, words, [], 0, now)) == (may, may, may)


@settings(max_examples=40, deadline=None)
@given(needs, said, st.lists(st.sampled_from([*GROUPS, LEADS, BOARD]), min_size=1, unique=True), moments)
def test_whoever_left_a_group_stands_for_it_no_more(asked: list[Need], words: list[Said], left: list[str], minutes: int) -> None:
    """As the keeper asks once more before it gives a token."""
    now = NOW + timedelta(minutes=minutes, seconds=30)
    until_now = [one for one in words if one.at <= now]
    stays = {*GROUPS, LEADS, BOARD} - {*left}
    kept = [
        replace(one, groups=tuple(sorted({*one.groups} & stays)), lent=tuple(loan for loan in one.lent if loan.group in stays))
        for one in until_now
    ]
    raw, statements = _signed_by(asked, until_now, [], 0)
    found = satisfied(asked, statements, raw, keys=KEYS, now=now, groups_now=dict.fromkeys([*PEOPLE], sorted(stays)))
    assert isinstance(found, Met) is allowed(asked, kept, [], 0, now)


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
