"""Evidence where no token is minted, and evidence whose rejection was kept back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts, SignedPerson, sign_in, with_passkey
from tests.scripted_provider import Scripted, serve
from tests.vault.accounts import OWNER, PAY, approver, connected, envelope, evidence, mint
from vault import grants, marks, people
from vault.errors import NotApproved
from vault.evidence import canonical
from vault.settings import BadSettings
from vault.table import Keeper


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    yield made
    made.vault.wire.close()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as made:
        yield made


@pytest.fixture
def bare(inside: Keeper, provider: Scripted) -> dict[str, Any]:
    """A held call that uses no account."""
    return {**envelope(inside, connected(inside, provider)), "connection": None, "scopes": []}


def reject(keeper: KeeperParts, person: SignedPerson, of: dict[str, Any]) -> None:
    keeper.door.decide(proof=person.proof, envelope=canonical(of), verdict="reject", reason="No.")


def spend(keeper: Keeper, given: Any, receiver: str = "bank") -> None:
    grants.spend_approval(keeper, {"receiver": receiver, "evidence": given})


def test_a_call_without_an_account_is_approved_once_for_ever(inside: Keeper, bare: dict[str, Any]) -> None:
    given = evidence(inside, bare, approver(inside))
    spend(inside, given)
    with pytest.raises(NotApproved, match="spent"):
        spend(inside, given)


def test_a_decoy_is_spent_and_minted_by_nothing_that_was_ever_signed(
    inside: Keeper, provider: Scripted, bare: dict[str, Any]
) -> None:
    """Also not by an approval that does not say that it was on a decoy."""
    connection = connected(inside, provider)
    of = envelope(inside, connection)
    decoy, bob = {**of, "mark": marks.of(inside, of["action"], decoy=True)}, approver(inside)
    with pytest.raises(NotApproved, match="is a decoy"):
        mint(inside, connection, scopes=PAY, evidence=evidence(inside, decoy, bob))
    with pytest.raises(NotApproved, match="is a decoy"):
        spend(inside, evidence(inside, {**bare, "mark": marks.of(inside, bare["action"], decoy=True)}, bob))
    assert mint(inside, connection, scopes=PAY, evidence=evidence(inside, of, bob))


def test_nothing_is_approved_without_evidence(inside: Keeper) -> None:
    with pytest.raises(NotApproved):
        spend(inside, None)


def test_evidence_for_an_account_runs_nothing_without_its_token(inside: Keeper, provider: Scripted) -> None:
    """Else the action would be spent as one and minted as the other."""
    of = envelope(inside, connected(inside, provider))
    with pytest.raises(NotApproved, match="account"):
        spend(inside, evidence(inside, of, approver(inside)))


def test_another_receiver_an_owner_and_a_person_who_left_the_group_approve_nothing(
    inside: Keeper, bare: dict[str, Any]
) -> None:
    fin = approver(inside)
    with pytest.raises(NotApproved, match="receiver"):
        spend(inside, evidence(inside, bare, fin), receiver="mail")
    with pytest.raises(NotApproved):
        spend(inside, evidence(inside, bare, OWNER))
    given = evidence(inside, bare, fin)
    people.record(inside, people.Person(fin, "https://idp.test", fin, "Approver", "a@idp.test", (), inside.clock()))
    with pytest.raises(NotApproved):
        spend(inside, given)


def test_an_approval_past_its_time_runs_nothing(inside: Keeper, bare: dict[str, Any], clock: Clock) -> None:
    given = evidence(inside, bare, approver(inside))
    clock.forward(hours=5)
    with pytest.raises(NotApproved, match="expired"):
        spend(inside, given)


def test_a_rejection_that_is_kept_back_still_beats_the_approvals_that_are_shown(
    keeper: KeeperParts, inside: Keeper, provider: Scripted
) -> None:
    """The keeper remembers what it signed: for a token, and for a call without one."""
    cleo = with_passkey(keeper, sign_in(keeper, ("finance",), name="Cleo"))
    connection = connected(inside, provider)
    of = envelope(inside, connection)
    reject(keeper, cleo, of)
    with pytest.raises(NotApproved, match="rejected"):
        mint(inside, connection, scopes=PAY, evidence=evidence(inside, of, approver(inside)))
    other = {**envelope(inside, connection), "connection": None, "scopes": []}
    reject(keeper, cleo, other)
    with pytest.raises(NotApproved, match="rejected"):
        spend(inside, evidence(inside, other, approver(inside)))


def test_a_rejection_of_another_envelope_under_the_same_id_costs_the_true_one_nothing(
    keeper: KeeperParts, inside: Keeper, bare: dict[str, Any]
) -> None:
    """Attack: somebody rejects a document of their own making that bears another action's id."""
    eve = with_passkey(keeper, sign_in(keeper, name="Eve"))
    forged = {**bare, "principal": {"person": eve.id, "name": "Eve"}}
    reject(keeper, eve, forged)
    spend(inside, evidence(inside, bare, approver(inside)))


def test_what_was_decided_before_a_restore_is_not_used_once_more(
    inside: Keeper, bare: dict[str, Any], tmp_path: Path, clock: Clock
) -> None:
    """The vault of the backup does not know what was spent since it was taken."""
    given = evidence(inside, bare, approver(inside))
    folder = tmp_path / "vault"
    folder.mkdir()

    def restored(at: str) -> Keeper:
        (folder / "restored").write_text(at)
        return replace(inside, settings=replace(inside.settings, instance=tmp_path), memory={})

    with pytest.raises(NotApproved, match="unmet"):
        spend(restored((clock() + timedelta(seconds=2)).isoformat()), given)
    with pytest.raises(BadSettings):
        spend(restored("not a time"), given)
    spend(restored((clock() - timedelta(seconds=2)).isoformat()), given)
