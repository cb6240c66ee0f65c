"""Minting: no wider than granted, money only with evidence, once; and a live token is shared without a write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, error, serve
from tests.vault.accounts import ALL, OWNER, PAY, READ, approver, connected, envelope, everything, evidence, finish, mint, stored
from vault import accounts, grants, people
from vault.errors import Disconnected, NeedsConsent, NotApproved, NotKnown, ProviderAway, ProviderRefused, ScopeRefused, TooMany
from vault.kv import Kv
from vault.providers.catalogue import load
from vault.table import Keeper
from vault.upstreams import upstreams


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    yield made
    made.vault.wire.close()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as made:
        yield made


class Counting(Kv):
    """The real store, counting."""

    def __init__(self, real: Kv) -> None:
        self.__dict__.update(real.__dict__)
        self.reads = self.writes = 0

    def read(self, path: str) -> Any:
        self.reads += 1
        return super().read(path)

    def write(self, path: str, data: Any, cas: int) -> int:
        self.writes += 1
        return super().write(path, data, cas)


def test_a_shared_token_is_reused_with_one_read_and_no_write(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    first = mint(inside, connection)
    inside.kv = counting = Counting(inside.kv)
    assert mint(inside, connection)["token"] == first["token"]
    assert (counting.reads, counting.writes, len(provider.refreshes)) == (1, 0, 1)


def test_a_token_is_narrowed_to_what_was_asked(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    assert mint(inside, connection)["scopes"] == list(READ)
    assert provider.refreshes[-1]["scope"] == "accounts:read"


def test_each_receiver_and_each_scope_gets_a_token_of_its_own(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    found = {
        mint(
            inside, connection, receiver=one, scopes=scopes
        )["token"] for one in ("a", "b") for scopes in (READ, ("payees:read",))
    }
    assert len(found) == 4


def test_no_token_outlives_its_lease_or_its_own_end(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.expires_in = 100
    connection = connected(inside, provider)
    assert datetime.fromisoformat(mint(inside, connection, cap=300)["expires_at"]) == clock.now + timedelta(seconds=100)
    assert datetime.fromisoformat(mint(inside, connection, cap=40)["expires_at"]) == clock.now + timedelta(seconds=40)


def test_scopes_wider_than_granted_are_refused(inside: Keeper, provider: Scripted) -> None:
    provider.scopes = "accounts:read"
    connection = connected(inside, provider)
    with pytest.raises(ScopeRefused):
        mint(inside, connection, scopes=("accounts:read", "payees:read"))


def test_money_is_not_minted_without_evidence(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    for scopes in (PAY, ALL):
        with pytest.raises(ScopeRefused, match="needs evidence"):
            mint(inside, connection, scopes=scopes, exclusive=True)
    assert provider.refreshes == []


def test_a_provider_that_answers_more_than_was_asked_hands_out_nothing(inside: Keeper, provider: Scripted) -> None:
    """It was asked for a token that reads, and answers one that can pay."""
    provider.ignores_scope = True
    connection = connected(inside, provider)
    with pytest.raises(ScopeRefused):
        mint(inside, connection)


def test_where_tokens_cannot_be_narrowed_money_once_granted_needs_evidence_for_every_use(
    inside: Keeper, provider: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "narrowless.yaml").write_text("{extends: harbour, narrows: false}")
    upstreams(inside).catalogue = lambda: load(tmp_path)
    connection = connected(inside, provider, entry="narrowless")
    with pytest.raises(ScopeRefused, match="needs evidence"):
        mint(inside, connection)
    proof = evidence(inside, envelope(inside, connection), approver(inside))
    assert mint(inside, connection, scopes=PAY, evidence=proof)["token"]


def test_another_persons_connection_looks_like_none(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    with pytest.raises(NotKnown):
        mint(inside, connection, person="per_stranger")
    with pytest.raises(NotKnown):
        accounts.disconnect(inside, {"connection": connection, "person": "per_stranger"})


def test_an_approved_action_mints_once(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    proof = evidence(inside, envelope(inside, connection), approver(inside))
    minted = mint(inside, connection, scopes=PAY, evidence=proof)
    assert minted["exclusive"]
    assert minted["token_ref"]
    for _ in range(2):
        with pytest.raises(NotApproved):
            mint(inside, connection, scopes=PAY, evidence=proof)
    assert len(provider.refreshes) == 1


def test_a_refresh_that_fails_does_not_cost_the_approval(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    connection = connected(inside, provider)
    proof = evidence(inside, envelope(inside, connection), approver(inside))
    provider.before.append(error(503))
    with pytest.raises(ProviderAway):
        mint(inside, connection, scopes=PAY, evidence=proof)
    clock.forward(seconds=10)
    assert mint(inside, connection, scopes=PAY, evidence=proof)["token"]


CHANGES = {
    "another connection": {"connection": {"id": "con_other"}},
    "another account": {"connection": {"account": "acc-2"}},
    "another owner": {"connection": {"owner": "per_stranger"}},
    "another receiver": {"server": {"name": "elsewhere"}},
    "other scopes": {"scopes": ["accounts:read"]},
    "wider scopes": {"scopes": ["accounts:read", "payments:send"]},
    "nothing required": {"requirement": []},
    "expired": {"expires_at": "2020-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_evidence_for_anything_else_mints_nothing(inside: Keeper, provider: Scripted, change: dict[str, Any]) -> None:
    connection = connected(inside, provider)
    made = envelope(inside, connection)
    changed = {key: {**made[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    proof = evidence(inside, {**made, **changed}, approver(inside))
    with pytest.raises(NotApproved):
        mint(inside, connection, scopes=PAY, evidence=proof)
    assert provider.refreshes == []


def test_a_forged_statement_mints_nothing(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    proof = evidence(inside, envelope(inside, connection), approver(inside))
    proof["statements"][0]["signature"] = inside.transit.sign("authority", b"something else")
    with pytest.raises(NotApproved):
        mint(inside, connection, scopes=PAY, evidence=proof)


def test_an_envelope_changed_after_the_decision_mints_nothing(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    proof = evidence(inside, envelope(inside, connection), approver(inside))
    proof["envelope"] = proof["envelope"].replace("4800.00", "9800.00")
    with pytest.raises(NotApproved):
        mint(inside, connection, scopes=PAY, evidence=proof)


def test_an_approver_who_left_the_group_approves_nothing_any_more(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    who = approver(inside)
    proof = evidence(inside, envelope(inside, connection), who)
    people.record(inside, people.Person(who, "https://idp.test", who, "Approver", "", (), inside.clock()))
    with pytest.raises(NotApproved):
        mint(inside, connection, scopes=PAY, evidence=proof)


def test_the_owner_does_not_approve_their_own(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    people.record(inside, people.Person(OWNER, "https://idp.test", OWNER, "Owner", "", ("finance",), inside.clock()))
    proof = evidence(inside, envelope(inside, connection), OWNER)
    with pytest.raises(NotApproved):
        mint(inside, connection, scopes=PAY, evidence=proof)


def test_mints_are_bounded_per_connection_and_minute(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    inside = replace(inside, settings=replace(inside.settings, mints_per_minute=3), memory={})
    connection = connected(inside, provider)
    for _ in range(3):
        mint(inside, connection)
    with pytest.raises(TooMany):
        mint(inside, connection)
    clock.forward(seconds=61)
    mint(inside, connection)


def test_nothing_is_minted_after_a_disconnect(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    mint(inside, connection)
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    with pytest.raises(Disconnected):
        mint(inside, connection)


def test_a_revocation_ends_every_token_at_the_provider_and_shreds_them_here(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    token = mint(inside, connection)["token"]
    refresh = stored(inside, connection)["refresh"]
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert {form["token"] for form in provider.revoked} == {token, refresh}
    assert "secret" not in everything(inside, connection)
    found = inside.vault.read(f"counterseal-kv/metadata/connections/{connection}")
    assert found is not None
    assert list(found["data"]["versions"]) == ["1"]


def test_a_revocation_that_the_provider_does_not_confirm_is_pending_and_can_be_repeated(
    inside: Keeper, provider: Scripted
) -> None:
    connection = connected(inside, provider)
    provider.revocation = 503
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "pending"
    provider.revocation = 200
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    asked = len(provider.revoked)
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert len(provider.revoked) == asked


def test_an_exclusive_token_is_ended_alone(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    shared, own = mint(inside, connection), mint(inside, connection, exclusive=True)
    assert own["token"] != shared["token"]
    assert grants.end_lease(inside, {"connection": connection, "token_ref": own["token_ref"]})["outcome"] == "confirmed"
    assert [form["token"] for form in provider.revoked] == [own["token"]]
    assert mint(inside, connection)["token"] == shared["token"]


def test_a_grant_is_never_revoked_at_the_end_of_a_lease(inside: Keeper, provider: Scripted) -> None:
    """Where revoking an access token kills the refresh token, a lease ends by itself."""
    calendar = "https://www.googleapis.com/auth/calendar.readonly"
    provider.scopes = f"openid {calendar}"
    connection = connected(inside, provider, entry="google")
    own = mint(inside, connection, exclusive=True, scopes=(calendar,))
    assert grants.end_lease(inside, {"connection": connection, "token_ref": own["token_ref"]})["outcome"] == "unsupported"
    assert provider.revoked == []


def test_a_connection_without_refresh_token_serves_until_it_ends(inside: Keeper, provider: Scripted) -> None:
    provider.expires_in, provider.scopes = None, "accounts:read"
    connection = connected(inside, provider)
    minted = mint(inside, connection, exclusive=True)
    assert not minted["exclusive"]
    assert mint(inside, connection)["token"] == minted["token"]


def test_another_account_at_reconnect_is_refused(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    provider.account = "acc-2"
    with pytest.raises(ProviderRefused, match="another account"):
        finish(inside, provider, connection)
    assert stored(inside, connection)["account"] == "acc-1"


def test_a_reconnect_brings_back_a_connection_that_needed_consent(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    provider.living.clear()
    for _ in range(2):
        with pytest.raises(NeedsConsent):
            mint(inside, connection)
    assert len(provider.refreshes) == 1
    finish(inside, provider, connection)
    assert mint(inside, connection)["token"]


def ready(keeper: Keeper, *connections: str, **changed: Any) -> list[dict[str, Any]]:
    asked = {"person": OWNER, "scopes": list(READ), "receiver": "bank", "cap": 300, "exclusive": False, **changed}
    return list(grants.mint_ready(keeper, {"mints": [{"connection": one, **asked} for one in connections]})["answers"])


def test_many_who_ask_at_once_are_answered_from_one_read(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    first = mint(inside, connection)
    inside.kv = counting = Counting(inside.kv)
    answers = ready(inside, *[connection] * 20)
    assert {answer["token"] for answer in answers} == {first["token"]}
    assert (len(answers), counting.reads, counting.writes) == (20, 1, 0)


def test_of_many_each_is_refused_by_itself(inside: Keeper, provider: Scripted) -> None:
    good, gone, fresh = (connected(inside, provider) for _ in range(3))
    mint(inside, good)
    mint(inside, gone)
    accounts.disconnect(inside, {"connection": gone, "person": OWNER})
    answers = ready(inside, gone, good, "con_none", fresh, "../x")
    assert [answer.get("error", answer.get("alone", "token")) for answer in answers] == [
        Disconnected.code, "token", NotKnown.code, True, "bad_request",
    ]


def test_of_many_nobody_gets_more_than_alone(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    mint(inside, connection)
    assert ready(inside, connection, person="per_other")[0]["error"] == NotKnown.code
    assert ready(inside, connection, scopes=list(PAY))[0]["error"] == ScopeRefused.code
    assert ready(inside, connection, scopes=["more"])[0]["error"] == ScopeRefused.code
    assert ready(inside, connection, exclusive=True) == [{"alone": True}]


def test_a_disconnection_holds_for_the_next_of_many(keeper: KeeperParts, inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    mint(inside, connection)
    assert "token" in ready(inside, connection)[0]
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    assert ready(inside, connection)[0]["error"] == Disconnected.code
