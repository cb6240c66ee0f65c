"""Attack: somebody whom an action keeps out lends their group to another, under the sign-in that it does not name."""

from __future__ import annotations

import pytest

from tests.keeper_parts import KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import approvers
from tests.vault.test_standing import approve, now_envelope, sign, wanted
from vault.door import Evidence
from vault.errors import MayNotDecide, NotApproved


def someone(keeper: KeeperParts, *groups: str) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, groups or ("user",)))


def test_a_lender_who_is_the_requester_under_another_name_lends_nothing(keeper: KeeperParts) -> None:
    work, home, bob = someone(keeper), someone(keeper, "finance"), someone(keeper)
    raw = now_envelope(approvers("finance"), principal={"person": work.id, "name": "Ada"})
    named = (home.id, sign(keeper, home, wanted(home, bob)).id)
    keeper.door.person_link(work.id, home.id)
    with pytest.raises(MayNotDecide):
        approve(keeper, bob, raw, named)


def test_linked_after_the_delegate_said_yes_nothing_is_spent(keeper: KeeperParts) -> None:
    work, home, bob = someone(keeper), someone(keeper, "finance"), someone(keeper)
    raw = now_envelope(approvers("finance"), action=f"act_{work.id}", principal={"person": work.id, "name": "Ada"})
    said = approve(keeper, bob, raw, (home.id, sign(keeper, home, wanted(home, bob)).id))
    keeper.door.person_link(work.id, home.id)
    with pytest.raises(NotApproved):
        keeper.door.spend(receiver="bank", evidence=Evidence(raw, [said]))


def test_a_lenders_other_sign_in_fills_no_second_seat(keeper: KeeperParts) -> None:
    work, home, bob = someone(keeper, "finance"), someone(keeper, "finance"), someone(keeper)
    raw = now_envelope(approvers("finance", 2), action=f"act_{work.id}")
    said = [approve(keeper, bob, raw, (home.id, sign(keeper, home, wanted(home, bob)).id)), decide(keeper, work, raw, "approve")]
    keeper.door.person_link(work.id, home.id)
    with pytest.raises(NotApproved):
        keeper.door.spend(receiver="bank", evidence=Evidence(raw, said))
    other = decide(keeper, someone(keeper, "finance"), raw, "approve")
    keeper.door.spend(receiver="bank", evidence=Evidence(raw, [*said, other]))
