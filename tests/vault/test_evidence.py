"""`satisfied` is what stands between a database and a token: each test is one way to get past it that must not work."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.samples import (
    AGENT_OWNER,
    KEYS,
    NOW,
    OWNER,
    PRINCIPAL,
    approvers,
    confirm,
    envelope,
    signed,
    statement,
)
from vault import decided
from vault.errors import NotApproved
from vault.evidence import BadEnvelope, Met, Need, Statement, Unmet, parse_statement, read_envelope, satisfied

FINANCE = approvers("finance")


def judge(raw: bytes, *statements: Statement, now=NOW, groups_now=None, requirement=None) -> Met | Unmet:
    asked = json.loads(raw)["requirement"] if requirement is None else requirement
    return satisfied(asked, statements, raw, keys=KEYS, now=now, groups_now=groups_now)


def test_an_approval_by_someone_of_the_group_meets_it():
    raw = envelope(FINANCE)
    assert judge(raw, statement(raw, "per_fin")) == Met(("per_fin",))


def test_the_owners_confirmation_meets_a_confirm():
    raw = envelope(confirm())
    assert judge(raw, statement(raw, OWNER, "confirm", groups=[])) == Met((OWNER,))


def test_without_an_account_the_principal_confirms():
    raw = envelope(confirm(), connection=None)
    assert judge(raw, statement(raw, PRINCIPAL, "confirm"))
    assert not judge(raw, statement(raw, OWNER, "confirm"))


def test_nothing_is_met_by_nothing():
    raw = envelope(FINANCE)
    assert not judge(raw)
    assert not judge(envelope(), requirement=[]), "an empty requirement is not everyone's consent"


def test_the_requirement_is_the_envelopes_own():
    """A caller cannot have an envelope that asks for two judged by a requirement that asks for one."""
    raw = envelope(approvers("finance", 2))
    assert not judge(raw, statement(raw, "per_fin"), requirement=[FINANCE])


@pytest.mark.parametrize("person", [PRINCIPAL, OWNER, AGENT_OWNER])
def test_no_one_approves_what_they_asked_for(person: str):
    """By identity: being in the group does not help."""
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, person))


def test_whose_server_asks_for_a_token_does_not_approve_it():
    raw = envelope(FINANCE, server={"name": "cli_desk", "url": "", "manifest": "m" * 64, "owner": "per_fin"})
    assert not judge(raw, statement(raw, "per_fin"))
    assert judge(raw, statement(raw, "per_fin"), statement(raw, "per_other")) == Met(("per_other",))


@pytest.mark.parametrize("person", ["per_fin", PRINCIPAL, AGENT_OWNER])
def test_only_the_accounts_owner_confirms(person: str):
    raw = envelope(confirm())
    assert not judge(raw, statement(raw, person, "confirm"))


def test_a_confirmation_is_no_approval_and_an_approval_no_confirmation():
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, "per_fin", "confirm"))
    raw = envelope(confirm())
    assert not judge(raw, statement(raw, OWNER, "approve"))


def test_all_needs_add_up():
    raw = envelope(confirm(), FINANCE)
    mine, theirs = statement(raw, OWNER, "confirm"), statement(raw, "per_fin")
    assert not judge(raw, mine)
    assert not judge(raw, theirs)
    assert judge(raw, mine, theirs) == Met(tuple(sorted((OWNER, "per_fin"))))


def test_one_rejection_beats_any_number_of_approvals():
    raw = envelope(FINANCE)
    yes = [statement(raw, f"per_{n}") for n in range(5)]
    assert judge(raw, *yes)
    assert not judge(raw, *yes, statement(raw, "per_no", "reject"))
    assert not judge(raw, *yes, statement(raw, "per_1", "reject")), "also their own, later"


def test_a_quorum_counts_persons_not_statements():
    raw = envelope(approvers("finance", 2))
    assert not judge(raw, statement(raw, "per_a"), statement(raw, "per_a", nonce="again"))
    assert judge(raw, statement(raw, "per_a"), statement(raw, "per_b"))


def test_someone_in_two_groups_stands_for_one():
    raw = envelope(FINANCE, approvers("security"))
    both = statement(raw, "per_both", groups=["finance", "security"])
    assert not judge(raw, both)
    assert judge(raw, both, statement(raw, "per_fin", groups=["finance"]))
    assert judge(raw, both, statement(raw, "per_sec", groups=["security"])), "seats are exchanged where that helps"


def test_two_needs_of_one_group_are_one_need_under_the_larger_quorum_and_the_stricter_factor():
    raw = envelope(FINANCE, approvers("finance", 2, "passkey"))
    totp = {"id": "f", "kind": "totp", "created_at": ""}
    a, b = statement(raw, "per_a"), statement(raw, "per_b")
    assert judge(raw, a, b)
    assert not judge(raw, a)
    assert not judge(raw, a, statement(raw, "per_b", factor=totp))


@pytest.mark.parametrize(("asked", "used", "good"), [
    ("", "totp", True), ("", "passkey", True), ("totp", "totp", True), ("totp", "passkey", True), ("passkey", "passkey", True),
    ("passkey", "totp", False), ("", "sms", False), ("totp", "", False),
])
def test_a_passkey_satisfies_totp_and_not_the_other_way(asked: str, used: str, good: bool):
    raw = envelope(approvers("finance", 1, asked))
    assert bool(judge(raw, statement(raw, "per_fin", factor={"id": "f", "kind": used, "created_at": ""}))) is good
    raw = envelope(confirm(asked))
    assert bool(judge(raw, statement(raw, OWNER, "confirm", factor={"id": "f", "kind": used, "created_at": ""}))) is good


def test_a_group_counts_as_the_keeper_recorded_it_and_only_while_it_lasts():
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, "per_x", groups=["sales"]))
    assert judge(raw, statement(raw, "per_x"), groups_now={"per_x": ["finance"]})
    assert not judge(raw, statement(raw, "per_x"), groups_now={"per_x": ["sales"]})
    assert not judge(raw, statement(raw, "per_x"), groups_now={})


def test_it_expires():
    raw = envelope(FINANCE)
    one = statement(raw, "per_fin")
    assert judge(raw, one, now=NOW + timedelta(hours=4, seconds=-1))
    assert not judge(raw, one, now=NOW + timedelta(hours=4))


def test_a_statement_from_the_future_or_from_after_the_end_does_not_count():
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, "per_fin", at=decided.stamp(NOW + timedelta(minutes=5))))
    late = statement(raw, "per_fin", at=decided.stamp(NOW + timedelta(hours=4)))
    assert not judge(raw, late, now=NOW + timedelta(hours=3, minutes=59, seconds=59))


def test_a_statement_on_another_envelope_fails_the_whole():
    """Also beside a good one: evidence is what was asked for, and nothing else."""
    raw, other = envelope(FINANCE), envelope(FINANCE, arguments={"amount": "1.00"})
    assert not judge(raw, statement(other, "per_fin"))
    assert not judge(raw, statement(raw, "per_fin"), statement(other, "per_two"))
    assert not judge(raw, statement(raw, "per_fin", action="act_two"))


@pytest.mark.parametrize("name", ["action", "digest", "person", "verdict", "at"])
def test_an_incomplete_statement_fails_the_whole(name: str):
    raw = envelope(FINANCE)
    body = json.loads(statement(raw, "per_fin").body)
    del body[name]
    assert not judge(raw, signed(body))


def test_forged_signatures():
    raw = envelope(FINANCE)
    good = statement(raw, "per_fin")
    stranger = statement(raw, "per_fin", key=Ed25519PrivateKey.generate())
    raised = replace(good, body=good.body.replace('"sales"', '"finance"').replace("per_fin", "per_two"))
    forged = [
        stranger, raised, replace(good, signature=""), replace(good, signature=good.signature.replace("v1", "v2")),
        replace(good, signature=good.signature.removeprefix("vault:v1:")), replace(good, body=good.body + " "),
        replace(good, signature=good.signature[:-3] + ("B" if good.signature[-3] == "A" else "A") + "=="),
    ]
    for one in forged:
        assert not judge(raw, one), one
        with pytest.raises(NotApproved):
            parse_statement(one, KEYS)


@pytest.mark.parametrize("changes", [{"kind": "ticket"}, {"v": 2}, {"kind": None}])
def test_what_the_authority_signed_for_another_purpose_is_no_decision(changes: dict):
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, "per_fin", **changes))


HOSTILE = [
    b"", b"[]", b"null", b"\xff", b'{"v":1}', b'{"v":NaN}', b"[" * 5000,
    envelope(FINANCE) + b" ", envelope(FINANCE).replace(b'"v":1', b'"v":1.0'),
    envelope(FINANCE)[:-1] + b',"v":1}', envelope(FINANCE).replace(b'"amount":"4800.00"', b'"amount":"1.00","amount":"4800.00"'),
    envelope(FINANCE, expires_at="2026-03-02T13:30:00"), envelope(FINANCE, expires_at="never"), envelope(FINANCE, expires_at=""),
    envelope(FINANCE, principal={"person": "", "name": ""}), envelope(FINANCE, v=True), envelope(FINANCE, v=2),
    envelope(FINANCE, connection={"id": "c", "owner": "", "provider": "", "account": "", "label": ""}),
    *(envelope(FINANCE, server={"name": "desk", "url": "", "manifest": "", "owner": one}) for one in (None, 1, ["per_fin"])),
    envelope(FINANCE, requirement={}), envelope(FINANCE, requirement=["confirm"]),
    envelope(approvers("", 1)), envelope(approvers("finance", 0)), envelope(approvers("finance", -1)),
    envelope(approvers("finance", True)), envelope(approvers("finance", 1, "sms")),
    envelope({**confirm(), "group": "finance"}), envelope({**confirm(), "kind": "everyone"}),  # type: ignore[typeddict-item]
]


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_not_exactly_a_canonical_envelope_is_never_met(raw: bytes):
    with pytest.raises(BadEnvelope):
        read_envelope(raw)
    assert not satisfied([FINANCE], [statement(raw, "per_fin")], raw, keys=KEYS, now=NOW)


def test_an_enormous_quorum_is_refused_and_not_counted_up_to():
    raw = envelope(approvers("finance", 10**12))
    assert not judge(raw, statement(raw, "per_fin"))


PERSONS = ["per_a", "per_b", "per_c", PRINCIPAL, OWNER, AGENT_OWNER]
GROUPS = ["finance", "security"]
needs = st.one_of(
    st.builds(confirm, st.sampled_from(["", "totp", "passkey"])),
    st.builds(approvers, st.sampled_from(GROUPS), st.integers(1, 3), st.sampled_from(["", "totp", "passkey"])),
)
votes = st.tuples(
    st.sampled_from(PERSONS), st.sampled_from(["approve", "confirm", "reject"]), st.sets(st.sampled_from(GROUPS)),
    st.sampled_from(["passkey", "totp"]),
)


def _independently(requirement: list[Need], cast: list[tuple]) -> bool:
    """The same promise said another way: try every assignment of persons to seats."""
    rank = {"": 0, "totp": 0, "totp ": 1, "passkey": 2}
    if any(verdict == "reject" for _, verdict, _, _ in cast) or not requirement:
        return False
    for need in requirement:
        if need["kind"] == "confirm":
            strict = any(one["factor"] == "passkey" for one in requirement if one["kind"] == "confirm")
            if not any(p == OWNER and v == "confirm" and (f == "passkey" or not strict) for p, v, _, f in cast):
                return False
    quorums = {
        group: (
            max(need["quorum"] for need in requirement if need["group"] == group),
            max(rank[need["factor"]] for need in requirement if need["group"] == group) == 2,
        )
        for group in {need["group"] for need in requirement if need["kind"] == "approvers"}
    }
    seats = [group for group, (quorum, _) in quorums.items() for _ in range(quorum)]

    def fill(left: list[str], free: set[str]) -> bool:
        if not left:
            return True
        strict = quorums[left[0]][1]
        able = {p for p, v, g, f in cast if v == "approve" and left[0] in g and (f == "passkey" or not strict)}
        return any(fill(left[1:], free - {person}) for person in able & free)

    return fill(seats, set(PERSONS) - {PRINCIPAL, OWNER, AGENT_OWNER})


@given(st.lists(needs, max_size=3), st.lists(votes, max_size=5))
def test_it_agrees_with_a_second_reading_of_the_promise(requirement: list[Need], cast: list[tuple]):
    raw = envelope(*requirement)
    statements = [
        statement(raw, person, verdict, groups=sorted(groups), factor={"id": "f", "kind": factor, "created_at": ""})
        for person, verdict, groups, factor in cast
    ]
    assert bool(judge(raw, *statements)) is _independently(requirement, cast)


@given(st.data())
def test_no_change_of_any_byte_of_the_envelope_keeps_an_approval(data: st.DataObject):
    raw = envelope(FINANCE)
    where = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != raw[where]))
    changed = raw[:where] + bytes([byte]) + raw[where + 1:]
    assert not satisfied([FINANCE], [statement(raw, "per_fin")], changed, keys=KEYS, now=NOW)


OFFICE = "0-4 08:00-18:00 UTC"
LATER = NOW + timedelta(minutes=2)


def at(when) -> str:
    return decided.stamp(when)


def test_an_envelope_of_before_these_fields_reads_as_it_did():
    assert judge(envelope(FINANCE), statement(envelope(FINANCE), "per_fin"))
    for empty in (envelope({**FINANCE, "hours": ""}), envelope(FINANCE, undo=0)):
        assert judge(empty, statement(empty, "per_fin"))


@pytest.mark.parametrize("undo", [-1, 61, True, "30", 1.5, None])
def test_an_undo_window_is_whole_seconds_within_its_bounds(undo):
    with pytest.raises(BadEnvelope):
        read_envelope(envelope(FINANCE, undo=undo))


@pytest.mark.parametrize("hours", [1, None, "always", "0-4 18:00-08:00 UTC", ["0-4 08:00-18:00 UTC"]])
def test_hours_that_cannot_be_read_refuse_the_envelope(hours):
    with pytest.raises(BadEnvelope):
        read_envelope(envelope({**FINANCE, "hours": hours}))


def test_an_envelope_names_one_span_of_hours():
    with pytest.raises(BadEnvelope):
        read_envelope(envelope({**FINANCE, "hours": OFFICE}, {**approvers("legal"), "hours": "0-4 08:00-19:00 UTC"}))


def test_it_does_not_run_before_its_undo_window_is_over_whoever_says_more_meanwhile():
    raw = envelope(FINANCE, undo=30)
    first, second = statement(raw, "per_fin"), statement(raw, "per_two", at=at(NOW + timedelta(seconds=20)))
    assert not judge(raw, first, now=NOW)
    assert not judge(raw, first, now=NOW + timedelta(seconds=30)), "a statement's time is cut to seconds: never a moment less"
    assert judge(raw, first, now=NOW + timedelta(seconds=31))
    assert judge(raw, first, second, now=NOW + timedelta(seconds=31)), "the window began with the last that was needed"
    assert not judge(raw, second, now=NOW + timedelta(seconds=31))


def test_the_window_begins_with_the_last_of_a_quorum():
    raw = envelope(approvers("finance", 2), undo=30)
    both = statement(raw, "per_fin"), statement(raw, "per_two", at=at(LATER))
    assert not judge(raw, *both, now=LATER + timedelta(seconds=30))
    assert judge(raw, *both, now=LATER + timedelta(seconds=31))
    assert not judge(raw, *both, statement(raw, "per_x", "reject"), now=LATER + timedelta(seconds=31))


def test_what_is_said_out_of_hours_does_not_count():
    night = NOW.replace(hour=18)
    raw = envelope({**FINANCE, "hours": OFFICE}, now=NOW, expires_at=at(NOW + timedelta(days=2)))
    assert judge(raw, statement(raw, "per_fin"), now=night), "said in time, and used at night"
    assert not judge(raw, statement(raw, "per_fin", at=at(night)), now=night)
    twice = envelope({**FINANCE, "hours": OFFICE}, FINANCE, now=NOW, expires_at=at(NOW + timedelta(days=2)))
    assert not judge(twice, statement(twice, "per_fin", at=at(night)), now=night), "needs of one group are one"
    mine = envelope({**confirm(), "hours": OFFICE}, now=NOW, expires_at=at(NOW + timedelta(days=2)))
    assert not judge(mine, statement(mine, OWNER, "confirm", at=at(night)), now=night)


@pytest.mark.parametrize("party", [PRINCIPAL, OWNER, AGENT_OWNER])
def test_a_party_does_not_approve_under_another_sign_in(party):
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, "per_other", same_as=[party]))
    assert not satisfied([FINANCE], [statement(raw, "per_other")], raw, keys=KEYS, now=NOW, same_now={"per_other": [party]})
    assert not satisfied([FINANCE], [statement(raw, "per_other")], raw, keys=KEYS, now=NOW, same_now={party: ["per_other"]})


def test_two_sign_ins_of_one_human_are_one():
    raw = envelope(approvers("finance", 2))
    linked = statement(raw, "per_a", same_as=["per_b"]), statement(raw, "per_b")
    assert not judge(raw, *linked), "a link counts both ways, whoever's statement says it"
    over = [statement(raw, person, same_as=["per_z"]) for person in ("per_a", "per_b")]
    assert not judge(raw, *over), "and over others"
    assert judge(raw, *linked, statement(raw, "per_c")) == Met(("per_a", "per_c"))
    raw = envelope(FINANCE, approvers("legal"))
    assert not judge(raw, statement(raw, "per_a", same_as=["per_b"]), statement(raw, "per_b", groups=["legal"]))


def test_a_link_that_is_no_list_of_persons_refuses_the_statement():
    raw = envelope(FINANCE)
    assert not judge(raw, statement(raw, "per_fin", same_as=[1]))
    assert not judge(raw, statement(raw, "per_fin", same_as=None))


def test_whoever_changed_the_call_approves_nothing_of_it_under_any_of_their_sign_ins():
    raw = envelope(FINANCE, facts={"edit": {"of": "act_0", "by": "per_fin", "name": "Fin"}})
    assert not judge(raw, statement(raw, "per_fin"))
    assert not judge(raw, statement(raw, "per_fin_2", same_as=["per_fin"]))
    assert judge(raw, statement(raw, "per_other")) == Met(("per_other",))


def test_whoever_changed_it_before_another_did_approves_nothing_of_it_either():
    """Attack: Fin proposes another payee, somebody corrects a word of that, and Fin approves their own proposal."""
    raw = envelope(FINANCE, facts={"edit": {"of": "act_0", "by": "per_cas", "name": "Cas", "earlier": ["per_fin"]}})
    assert not judge(raw, statement(raw, "per_fin"))
    assert not judge(raw, statement(raw, "per_fin_2", same_as=["per_fin"]))
    assert judge(raw, statement(raw, "per_other")) == Met(("per_other",))


@pytest.mark.parametrize("edit", [
    {}, {"by": ""}, {"by": None}, {"by": ["per_fin"]}, "per_fin", True, {"by": "per_fin", "earlier": "per_cas"},
    {"by": "per_fin", "earlier": [""]}, {"by": "per_fin", "earlier": None},
])
def test_an_edit_that_does_not_say_by_whom_is_no_envelope(edit: object):
    with pytest.raises(BadEnvelope):
        read_envelope(envelope(FINANCE, facts={"edit": edit}))
