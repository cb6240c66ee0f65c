"""Two sign-ins of one human are one to the keeper, at the decision and at the mint, whatever was decided before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.keeper_parts import KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import approvers
from tests.vault.samples import envelope as sample
from vault import people
from vault.door import Evidence
from vault.errors import BadRequest, KeeperError, MayNotDecide, NotApproved, NotKnown
from vault.evidence import parse_statement
from vault.linking import MOST


def envelope(*needs, by: str = "per_principal", held: datetime | None = None, **changes) -> bytes:
    """Of a call that uses no account, with an action id of its own."""
    changes = {"connection": None, "scopes": [], "principal": {"person": by, "name": ""}, **changes}
    return sample(*needs, now=held or datetime.now(UTC), **changes)


def someone(keeper: KeeperParts, name: str = "Fin") -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("finance",), name=name))


def test_a_requester_does_not_approve_with_their_other_sign_in(keeper: KeeperParts):
    work, home = someone(keeper), someone(keeper)
    raw = envelope(approvers("finance"), by=work.id)
    assert keeper.door.person_link(work.id, home.id) == tuple(sorted((work.id, home.id)))
    with pytest.raises(MayNotDecide):
        decide(keeper, home, raw, "approve")
    keeper.door.decide(proof=home.proof, envelope=raw, verdict="reject", reason="No.")


def test_two_sign_ins_do_not_fill_a_quorum_of_two_also_when_they_were_linked_after_both_had_said_yes(keeper: KeeperParts):
    work, home, other = someone(keeper), someone(keeper), someone(keeper)
    raw = envelope(approvers("finance", 2), action=f"act_{work.id}")
    both = [decide(keeper, work, raw, "approve"), decide(keeper, home, raw, "approve")]
    keeper.door.person_link(work.id, home.id)
    with pytest.raises(NotApproved):
        keeper.door.spend(receiver="bank", evidence=Evidence(raw, both))
    keeper.door.spend(receiver="bank", evidence=Evidence(raw, [*both, decide(keeper, other, raw, "approve")]))


def test_the_keeper_signs_who_else_it_is_and_a_new_sign_in_forgets_no_link(keeper: KeeperParts):
    work, home, third = someone(keeper), someone(keeper), someone(keeper)
    keeper.door.person_link(work.id, home.id)
    together = keeper.door.person_link(home.id, third.id)
    assert set(together) == {work.id, home.id, third.id}, "a link to one is a link to all"
    inside = keeper.inside()
    before = people.person(inside, work.id)
    people.record(inside, people.Person(work.id, before.issuer, work.id, "New", "", ("finance",), before.seen_at))
    raw = envelope(approvers("finance"))
    body = parse_statement(decide(keeper, work, raw, "approve"), keeper.door.public_keys().authority)
    assert body["same_as"] == sorted({home.id, third.id})


def test_who_is_unlinked_is_another_human_for_what_is_held_from_then_on(keeper: KeeperParts):
    work, home, third = someone(keeper), someone(keeper), someone(keeper)
    for each in (home, third):
        keeper.door.person_link(work.id, each.id)
    held_before = envelope(approvers("finance"), by=work.id)
    assert set(keeper.door.person_unlink(home.id)) == {work.id, third.id}
    with pytest.raises(MayNotDecide):
        decide(keeper, home, held_before, "approve")
    held_after = envelope(approvers("finance"), by=work.id, held=datetime.now(UTC) + timedelta(seconds=2))
    decide(keeper, home, held_after, "approve")
    with pytest.raises(MayNotDecide):
        decide(keeper, third, held_after, "approve")
    when_nobody_can_say = {**json.loads(held_after), "created_at": "once"}
    assert people.held_at(when_nobody_can_say) is None
    assert people.person(keeper.inside(), home.id).same_for(None) == tuple(sorted((work.id, third.id)))


def test_what_cannot_be_linked(keeper: KeeperParts):
    work = someone(keeper)
    with pytest.raises(BadRequest):
        keeper.door.person_link(work.id, work.id)
    with pytest.raises(NotKnown):
        keeper.door.person_link(work.id, "per_nobody")
    with pytest.raises(KeeperError):
        keeper.door.person_link(work.id, "../app")
    assert keeper.door.person_unlink(work.id) == ()
    assert MOST == 16
