"""A decoy looks like any other call until somebody decides on it, and nothing is ever spent on it, whatever was signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.keeper_parts import KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import approvers
from tests.vault.test_standing import now_envelope
from vault.door import Evidence
from vault.errors import BadRequest, KeeperError, NotApproved
from vault.evidence import BadEnvelope, Statement, Unmet, read_envelope, satisfied
from webapp.canonical import canonical
from webapp.ids import new_id


def finance(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("finance",)))


def word(keeper: KeeperParts, one: SignedPerson, raw: bytes, verdict: str) -> Statement:
    if verdict == "reject":
        return keeper.door.decide(proof=one.proof, envelope=raw, verdict="reject", reason="No.")
    return decide(keeper, one, raw, "approve")


def marked(keeper: KeeperParts, *, decoy: bool, action: str = "") -> bytes:
    action = action or new_id("act")
    return now_envelope(approvers("finance"), action=action, mark=keeper.door.mark(action, decoy=decoy))


def test_a_call_that_somebody_asked_for_is_spent_with_its_mark(keeper: KeeperParts) -> None:
    raw = marked(keeper, decoy=False)
    said = decide(keeper, finance(keeper), raw, "approve")
    assert "decoy" not in json.loads(said.body)
    keeper.door.spend(receiver="bank", evidence=Evidence(raw, [said]))


def test_both_marks_look_alike_and_are_of_one_action_each(keeper: KeeperParts) -> None:
    marks = {keeper.door.mark(action, decoy=decoy) for action in ("act_1", "act_2") for decoy in (True, False)}
    assert len(marks) == 4
    assert {len(one) for one in marks} == {32}


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_whoever_decides_on_a_decoy_is_told_by_what_the_keeper_signs(keeper: KeeperParts, verdict: str) -> None:
    raw = marked(keeper, decoy=True)
    said = word(keeper, finance(keeper), raw, verdict)
    assert json.loads(said.body)["decoy"] is True
    with pytest.raises(NotApproved):
        keeper.door.spend(receiver="bank", evidence=Evidence(raw, [said]))


def test_a_signed_decoy_meets_nothing(keeper: KeeperParts) -> None:
    """Pure, so that the app and whoever checks a receipt see it as the keeper does."""
    raw = marked(keeper, decoy=True)
    envelope = read_envelope(raw)
    said = decide(keeper, finance(keeper), raw, "approve")
    found = satisfied(
        envelope["requirement"], [said], raw, keys=keeper.door.public_keys().authority, now=datetime.now(UTC),
    )
    assert isinstance(found, Unmet)
    assert "decoy" in found.reason


def test_nobody_takes_the_word_decoy_out_of_a_statement(keeper: KeeperParts) -> None:
    raw = marked(keeper, decoy=True)
    said = decide(keeper, finance(keeper), raw, "approve")
    bare = {name: value for name, value in json.loads(said.body).items() if name != "decoy"}
    with pytest.raises(NotApproved):
        keeper.door.spend(receiver="bank", evidence=Evidence(raw, [Statement(canonical(bare).decode(), said.signature)]))


@pytest.mark.parametrize("how", ["another action's", "made up"])
def test_a_mark_that_is_not_this_actions_is_decided_and_spent_by_nobody(keeper: KeeperParts, how: str) -> None:
    """Attack: the mark of a call that was asked for, put into a decoy."""
    mark = keeper.door.mark("act_other") if how == "another action's" else "0" * 32
    raw, bob = now_envelope(approvers("finance"), action=new_id("act"), mark=mark), finance(keeper)
    with pytest.raises(BadRequest):
        decide(keeper, bob, raw, "approve")
    with pytest.raises(BadRequest):
        word(keeper, bob, raw, "reject")
    other = decide(keeper, bob, marked(keeper, decoy=False), "approve")
    with pytest.raises(NotApproved):
        keeper.door.spend(receiver="bank", evidence=Evidence(raw, [other]))


def test_what_was_signed_without_a_mark_does_not_open_one_with(keeper: KeeperParts) -> None:
    action, bob = new_id("act"), finance(keeper)
    said = decide(keeper, bob, now_envelope(approvers("finance"), action=action), "approve")
    with pytest.raises(KeeperError):
        keeper.door.spend(receiver="bank", evidence=Evidence(marked(keeper, decoy=True, action=action), [said]))


@pytest.mark.parametrize("mark", [1, "", "0" * 31, "G" * 32, None, ["0" * 32]])
def test_a_mark_is_32_hexadecimal_digits(mark: object) -> None:
    with pytest.raises(BadEnvelope):
        read_envelope(now_envelope(approvers("finance"), mark=mark))
