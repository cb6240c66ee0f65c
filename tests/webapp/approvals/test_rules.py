"""What decisions amount to, whatever comes in which order."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import hypothesis.strategies as st
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vault.evidence import Met, Need, Statement, canonical, digest, satisfied
from webapp.approvals.part import code_counts, opens_at, part_of
from webapp.approvals.rules import STATES, TABLE, TERMINAL, Given, Parties, State, Subject, may_become, progress, resolve

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = NOW + timedelta(hours=4)
KEY = Ed25519PrivateKey.generate()
KEYS = {1: KEY.public_key().public_bytes_raw()}
PEOPLE = ("ada", "bob", "cleo", "dan", "eve")
GROUPS = ("finance", "legal")


def need(kind: str = "approvers", group: str = "finance", quorum: int = 1, factor: str = "") -> Need:
    group = "" if kind == "confirm" else group
    return cast(Need, {"kind": kind, "group": group, "quorum": quorum, "factor": factor, "rule": "r"})


def subject(*needs: Need, state: State = "held", owner: str = "ada", agent_owner: str = "ada") -> Subject:
    return Subject(state, Parties("ada", owner, agent_owner), needs or (need(),), SOON)


def said(person: str, verdict: str = "approve", groups: tuple[str, ...] = ("finance",), factor: str = "passkey") -> Given:
    return Given(person, person, groups, cast(Any, verdict), factor, "", NOW)


def state(what: Subject, *given: Given, now: datetime = NOW) -> str:
    return resolve(what, given, now).state


def test_terminal_is_terminal() -> None:
    assert set(TERMINAL) == {"done", "failed", "rejected", "expired", "withdrawn", "void"}
    assert not any(may_become(end, other) for end in TERMINAL for other in STATES)


def test_nothing_is_executed_that_was_not_approved_and_nothing_runs_twice() -> None:
    assert [one for one in STATES if may_become(one, "executing")] == ["approved"]
    assert not {"approved", "executing", "held"} & (TABLE["executing"] | TABLE["uncertain"])


def test_one_approval_of_two_is_not_enough_and_the_same_person_twice_is_one() -> None:
    two = subject(need(quorum=2))
    assert state(two, said("bob"), said("bob")) == "held"
    assert state(two, said("bob"), said("cleo")) == "approved"


def test_no_requirement_at_all_is_never_met() -> None:
    assert resolve(Subject("held", Parties("ada", "ada", "ada"), (), SOON), [said("bob")], NOW).state == "held"


def test_a_requester_an_owner_and_an_agents_owner_cannot_approve_whatever_their_groups() -> None:
    what = subject(owner="bob", agent_owner="cleo")
    for person in ("ada", "bob", "cleo"):
        assert state(what, said(person)) == "held"
        assert part_of(what, [], person, ["finance"]) == "owner"
    assert state(what, said("dan")) == "approved"


def test_a_confirmation_is_no_approval_and_an_approval_no_confirmation() -> None:
    assert state(subject(need("confirm")), said("ada", "approve")) == "held"
    assert state(subject(need("confirm")), said("bob", "confirm")) == "held"
    assert state(subject(need("confirm")), said("ada", "confirm", ())) == "approved"
    assert state(subject(need()), said("bob", "confirm")) == "held"


def test_someone_in_two_groups_stands_for_one_of_them() -> None:
    both = subject(need(group="finance"), need(group="legal"))
    assert state(both, said("bob", groups=GROUPS)) == "held"
    assert state(both, said("bob", groups=GROUPS), said("cleo", groups=("finance",))) == "approved"
    assert part_of(both, [said("bob", groups=GROUPS)], "cleo", ["finance"]) == "approve"


def test_a_rejection_beats_every_approval_until_it_is_executed() -> None:
    assert state(subject(), said("bob"), said("cleo", "reject")) == "rejected"
    assert state(subject(state="approved"), said("bob"), said("cleo", "reject")) == "rejected"
    assert state(subject(state="executing"), said("bob"), said("cleo", "reject")) == "executing"


def test_time_runs_out_for_the_undecided_and_for_an_approval_nobody_picks_up() -> None:
    assert state(subject(), said("bob"), now=SOON) == "expired"
    late = Subject("approved", Parties("ada", "ada", "ada"), (need(),), SOON, run_by=NOW)
    assert state(late, said("bob")) == "expired"


def test_a_code_does_not_count_where_a_passkey_is_asked_for() -> None:
    strict = subject(need(factor="passkey"), need(factor=""))
    assert state(strict, said("bob", factor="totp")) == "held"
    assert not code_counts(strict, "approve", ["finance"])
    assert code_counts(subject(need(), need("confirm", factor="passkey")), "approve", ["finance"])
    assert not code_counts(subject(need(), need("confirm", factor="passkey")), "confirm", ["finance"])


needs = st.lists(
    st.builds(need, st.sampled_from(["confirm", "approvers"]), st.sampled_from(GROUPS), st.integers(1, 3),
              st.sampled_from(["", "totp", "passkey"])),
    min_size=1, max_size=3,
)
decisions = st.lists(
    st.builds(said, st.sampled_from(PEOPLE), st.sampled_from(["approve", "confirm", "reject"]),
              st.sets(st.sampled_from(GROUPS)).map(lambda some: tuple(sorted(some))), st.sampled_from(["passkey", "totp"])),
    max_size=6,
)


def signed(one: Given, raw: bytes) -> Statement:
    body = canonical({
        "v": 1, "kind": "decision", "action": "act_1", "digest": digest(raw), "person": one.person, "name": one.name,
        "groups": sorted(one.groups), "verdict": one.verdict, "reason": "", "nonce": "n",
        "factor": {"id": "f", "kind": one.factor, "created_at": ""}, "at": "2026-03-02T12:00:00Z",
    }).decode()
    return Statement(body, "vault:v1:" + base64.b64encode(KEY.sign(body.encode())).decode())


@settings(max_examples=150, deadline=None)
@given(needs, decisions, st.sampled_from(PEOPLE), st.sampled_from(PEOPLE))
def test_what_is_shown_as_approved_is_exactly_what_the_keeper_will_mint_for(
    requirement: list[Need], given_: list[Given], owner: str, agent_owner: str
) -> None:
    account = {"id": "con_1", "owner": owner, "provider": "bank", "account": "1", "label": "1"}
    raw = canonical({
        "v": 1, "action": "act_1", "server": {"name": "bank", "url": "u", "manifest": "m"}, "arguments": {},
        "tool": {"name": "t", "pin": "p", "title": "T", "cls": "money"}, "principal": {"person": "ada", "name": "Ada"},
        "client": {"id": "c", "grant": "g", "name": "n", "owner": agent_owner}, "connection": account, "scopes": [], "facts": {},
        "reasons": [], "requirement": requirement, "policy": "d", "created_at": "2026-03-02T12:00:00Z",
        "expires_at": "2026-03-02T16:00:00Z",
    })
    ours = resolve(Subject("held", Parties("ada", owner, agent_owner), tuple(requirement), SOON), given_, NOW)
    keepers = satisfied(requirement, [signed(one, raw) for one in given_], raw, keys=KEYS, now=NOW)
    assert (ours.state == "approved") == isinstance(keepers, Met), keepers


@settings(max_examples=80, deadline=None)
@given(needs, decisions, st.sampled_from(PEOPLE), st.sets(st.sampled_from(GROUPS)))
def test_a_button_is_only_offered_for_a_word_that_brings_it_forward(
    requirement: list[Need], given_: list[Given], person: str, groups: set[str]
) -> None:
    what = Subject("held", Parties("ada", "ada", "ada"), tuple(requirement), SOON)
    part = part_of(what, given_, person, tuple(groups))
    if part in ("confirm", "approve"):
        before = sum(len(one.people) for one in progress(what, given_))
        after = sum(len(one.people) for one in progress(what, [*given_, said(person, part, tuple(groups))]))
        assert after > before
        assert (part == "confirm") == (person == "ada")


class Life(RuleBasedStateMachine):
    """Any sequence of events, as the database would let them through."""

    def __init__(self) -> None:
        super().__init__()
        self.state: State = "held"
        self.given: list[Given] = []
        self.now = NOW
        self.runs = 0
        self.rejected_before_run = False

    def _subject(self) -> Subject:
        return Subject(self.state, Parties("ada", "ada", "ada"), (need(quorum=2),), SOON)

    @rule(person=st.sampled_from(PEOPLE), verdict=st.sampled_from(["approve", "reject"]))
    def decide(self, person: str, verdict: str) -> None:
        if self.state not in ("held", "approved"):
            return
        if verdict == "reject":
            self.rejected_before_run = True
        self.given.append(said(person, verdict))
        to = resolve(self._subject(), self.given, self.now).state
        if to != self.state:
            assert may_become(self.state, to)
            self.state = to

    @rule(minutes=st.integers(1, 200))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        to = resolve(self._subject(), self.given, self.now).state
        self.state = to

    @rule()
    def run(self) -> None:
        if resolve(self._subject(), self.given, self.now).state == "approved" and may_become(self.state, "executing"):
            self.state, self.runs = "executing", self.runs + 1

    @rule(to=st.sampled_from(["done", "failed", "uncertain"]))
    def end(self, to: State) -> None:
        if may_become(self.state, to):
            self.state = to

    @invariant()
    def runs_once_and_only_on_two_people_and_no_rejection(self) -> None:
        assert self.runs <= 1
        if self.runs:
            assert len({one.person for one in self.given if one.verdict == "approve" and one.person != "ada"}) >= 2
            assert not self.rejected_before_run


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


OFFICE = "0-4 08:00-18:00 UTC"


def test_what_is_approved_runs_once_its_undo_window_is_over() -> None:
    what = replace(subject(need(quorum=2)), undo=30)
    late = replace(said("cleo"), at=NOW + timedelta(seconds=20))
    found = resolve(what, [said("bob"), late, replace(said("dan"), at=NOW + timedelta(minutes=3))], NOW + timedelta(minutes=3))
    assert (found.state, found.runs_at) == ("approved", NOW + timedelta(seconds=51)), "from the last that was needed, rounded up"
    assert resolve(what, [said("bob")], NOW).runs_at is None
    assert resolve(subject(), [said("bob")], NOW).runs_at is None, "without a window, at once"


def test_a_word_out_of_hours_does_not_count_and_the_page_knows_when_it_would() -> None:
    what = subject(cast(Need, {**need(), "hours": OFFICE}))
    night = NOW.replace(hour=19)
    assert state(what, said("bob")) == "approved"
    assert state(what, replace(said("bob"), at=night), now=night - timedelta(hours=6)) == "held"
    assert part_of(what, [], "bob", ["finance"]) == "approve", "their part, whatever the hour"
    assert opens_at(what, "approve", ["finance"], NOW) == NOW
    assert opens_at(what, "approve", ["finance"], night) == datetime(2026, 3, 3, 8, tzinfo=UTC)
    assert opens_at(subject(), "approve", ["finance"], night) == night


def test_linked_sign_ins_are_one_human() -> None:
    two, linked = subject(need(quorum=2)), replace(said("bob"), same_as=("cleo",))
    assert state(two, linked, said("cleo")) == "held"
    assert state(two, linked, said("cleo"), said("dan")) == "approved"
    assert state(subject(), replace(said("bob"), same_as=("ada",))) == "held", "the requester under another sign-in"
    assert part_of(subject(), [], "bob", ["finance"], ["ada"]) == "owner"
    assert part_of(two, [said("bob")], "cleo", ["finance"], ["bob"]) == "given"


def test_who_changed_what_was_changed_again_is_no_approver_of_it() -> None:
    again = replace(subject(), parties=Parties("ada", "ada", "ada", editor="bob", earlier=frozenset({"cleo"})))
    assert state(again, said("cleo")) == "held"
    assert part_of(again, [], "cleo", ["finance"]) == part_of(again, [], "bob", ["finance"]) == "editor"
    assert state(again, said("dan")) == "approved"


def test_a_window_begins_no_earlier_for_the_page_than_for_the_keeper() -> None:
    """Two who are one human, as only the last to speak says: their two words were never two."""
    what = replace(subject(need(quorum=2)), undo=30)
    given = [replace(said(person), at=NOW + timedelta(seconds=at)) for at, person in enumerate(("bob", "cleo", "dan"))]
    given[2] = replace(given[2], same_as=("bob",))
    linked = replace(said("eve", groups=()), at=NOW + timedelta(seconds=3), same_as=("bob", "cleo"))
    assert resolve(what, given, NOW).runs_at == NOW + timedelta(seconds=1 + 31)
    assert resolve(what, [*given, linked], NOW).state == "held", "all of them are one"
    frank = replace(said("frank"), at=NOW + timedelta(seconds=4))
    assert resolve(what, [*given, linked, frank], NOW).runs_at == NOW + timedelta(seconds=4 + 31)
