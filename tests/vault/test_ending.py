"""Tokens that nobody uses any more: at a pause, after a new consent, and of a consent that came to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, serve
from tests.vault.accounts import ALL, OWNER, connected, finish, mint, name_of, stored
from vault import accounts, connecting, ending, grants
from vault.errors import Disconnected, NeedsConsent, NotKnown, Paused, ProviderRefused
from vault.kept import to_end
from vault.providers.catalogue import Catalogue
from vault.record import Ending
from vault.renewal import load, save
from vault.secret import Secret
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


def pause(keeper: Keeper, connection: str, person: str = OWNER) -> None:
    ending.pause(keeper, {"connection": connection, "person": person})


def resume(keeper: Keeper, connection: str) -> None:
    ending.resume(keeper, {"connection": connection, "person": OWNER})


def end(keeper: Keeper, connection: str) -> str:
    return str(ending.end_tokens(keeper, {"connection": connection})["outcome"])


def state(keeper: Keeper, connection: str) -> dict[str, object]:
    return dict(accounts.connection(keeper, {"connection": connection}))


def as_facts(keeper: Keeper, **facts: object) -> None:
    """The provider as its catalogue entry would have it."""
    ours, found = upstreams(keeper), upstreams(keeper).catalogue()
    changed = Catalogue({**found, "harbour": found["harbour"].model_copy(update=facts)}, {}, [])
    ours.catalogue = lambda: changed


def test_while_it_is_paused_nothing_is_minted_and_what_was_handed_out_is_ended(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    token, own = mint(inside, connection), mint(inside, connection, exclusive=True)
    pause(inside, connection)
    with pytest.raises(Paused):
        mint(inside, connection)
    with pytest.raises(Paused):
        mint(inside, connection, exclusive=True)
    assert end(inside, connection) == "confirmed"
    assert {form["token"] for form in provider.revoked} == {token["token"], own["token"]}
    assert {form["token_type_hint"] for form in provider.revoked} == {"access_token"}
    resume(inside, connection)
    assert mint(inside, connection)["token"] not in (token["token"], own["token"])
    assert state(inside, connection)["status"] == "active"


def test_what_the_provider_did_not_confirm_is_asked_for_again(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    own = mint(inside, connection, exclusive=True)
    pause(inside, connection)
    provider.revocation = 503
    assert end(inside, connection) == "pending"
    lease = {"connection": connection, "token_ref": own["token_ref"]}
    assert grants.end_lease(inside, lease)["outcome"] == "pending"  # it has not ended, so no ledger says so
    assert state(inside, connection)["ending"] == 1
    provider.revocation = 200
    assert end(inside, connection) == "confirmed"
    assert grants.end_lease(inside, lease)["outcome"] == "confirmed"
    assert state(inside, connection)["ending"] == 0


def lease_ended(keeper: Keeper, connection: str, ref: object) -> str:
    return str(grants.end_lease(keeper, {"connection": connection, "token_ref": ref})["outcome"])


def test_a_token_that_ended_by_itself_is_not_said_to_be_confirmed(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    """Its provider is away for longer than the token lives, and other tokens are taken meanwhile: only its word ends the wait."""
    connection = connected(inside, provider)
    own = mint(inside, connection, exclusive=True)
    provider.revocation = 503
    assert lease_ended(inside, connection, own["token_ref"]) == "pending"
    for _day in range(3):
        clock.forward(days=1)
        mint(inside, connection)
        assert lease_ended(inside, connection, own["token_ref"]) == "pending"
    provider.revocation = 200
    assert lease_ended(inside, connection, own["token_ref"]) == "confirmed"
    assert provider.revoked[-1]["token"] == own["token"]
    assert lease_ended(inside, connection, own["token_ref"]) == "confirmed"  # asked again by who died before writing it down
    assert [form["token"] for form in provider.revoked].count(own["token"]) == 5


def test_what_the_provider_never_confirmed_is_given_up_as_that(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    connection = connected(inside, provider)
    own = mint(inside, connection, exclusive=True)
    provider.revocation = 503
    assert lease_ended(inside, connection, own["token_ref"]) == "pending"
    clock.forward(days=9)
    mint(inside, connection)
    assert lease_ended(inside, connection, own["token_ref"]) == "unsupported"
    assert lease_ended(inside, connection, "tok_unknown") == "unsupported"


def test_as_many_held_payments_as_an_hour_brings_are_all_told_of(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    provider.revocation = 503
    own = [mint(inside, connection, exclusive=True) for _ in range(40)]
    assert {lease_ended(inside, connection, one["token_ref"]) for one in own} == {"pending"}
    provider.revocation, provider.revoked = 200, []
    assert {lease_ended(inside, connection, one["token_ref"]) for one in own} == {"confirmed"}
    assert {form["token"] for form in provider.revoked} == {one["token"] for one in own}


def test_a_single_token_of_a_disconnected_account_is_confirmed_only_with_it(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    own = mint(inside, connection, exclusive=True)
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    provider.revocation = 503
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "pending"
    assert lease_ended(inside, connection, own["token_ref"]) == "unsupported"
    provider.revocation = 200
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert lease_ended(inside, connection, own["token_ref"]) == "confirmed"


def test_of_more_than_are_kept_nobody_says_that_they_were_ended(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    record, version = load(inside, connection)
    many = [Ending(f"tok_{at}", Secret(f"t{at}"), "access_token") for at in range(70)]
    save(inside, connection, replace(record, ending=to_end(record, many)), version)
    assert end(inside, connection) == "unsupported"
    assert len(provider.revoked) == 64
    assert {form["token"] for form in provider.revoked} == {f"t{at}" for at in range(6, 70)}
    assert end(inside, connection) == "confirmed"  # nothing is left


def test_where_one_token_takes_the_grant_with_it_a_pause_ends_none(inside: Keeper, provider: Scripted) -> None:
    as_facts(inside, revoke_effect="grant")
    connection = connected(inside, provider)
    mint(inside, connection)
    pause(inside, connection)
    end(inside, connection)
    assert provider.revoked == []
    resume(inside, connection)
    assert mint(inside, connection)["token"]


def test_an_account_that_has_only_its_one_token_keeps_it(inside: Keeper, provider: Scripted) -> None:
    provider.expires_in = None
    connection = connected(inside, provider)
    pause(inside, connection)
    end(inside, connection)
    assert provider.revoked == []
    resume(inside, connection)
    assert stored(inside, connection)["live"]


def test_nobody_pauses_another_persons_account_nor_one_that_is_gone(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    with pytest.raises(NotKnown):
        pause(inside, connection, "per_mallory")
    assert mint(inside, connection)["token"]
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    with pytest.raises(Disconnected):
        pause(inside, connection)


def test_a_new_consent_ends_the_one_before_and_leaves_its_own(inside: Keeper, provider: Scripted) -> None:
    """Each consent is a grant of its own there (`grants_apart`)."""
    connection = connected(inside, provider)
    token, old = mint(inside, connection)["token"], stored(inside, connection)["refresh"]
    finish(inside, provider, connection)
    new = stored(inside, connection)["refresh"]
    assert end(inside, connection) == "confirmed"
    assert {form["token"] for form in provider.revoked} == {token, old}
    assert new != old
    assert mint(inside, connection)["token"] != token


def test_a_provider_that_may_keep_one_grant_for_both_is_not_told(inside: Keeper, provider: Scripted) -> None:
    as_facts(inside, revoke_effect="grant", grants_apart=False)
    connection = connected(inside, provider)
    mint(inside, connection)
    finish(inside, provider, connection)
    assert end(inside, connection) == "confirmed"
    assert provider.revoked == []
    assert state(inside, connection)["ending"] == 0


def test_disconnecting_ends_what_still_had_to_be_ended(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    token = mint(inside, connection)["token"]
    pause(inside, connection)
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert token in {form["token"] for form in provider.revoked}
    assert stored(inside, connection)["ending"] == []


def test_the_same_account_connected_twice_is_one_connection(inside: Keeper, provider: Scripted) -> None:
    first, second = connected(inside, provider), name_of("con")
    done = finish(inside, provider, second, known=[first])
    assert done["connection"] == first
    assert inside.kv.read(f"connections/{second}") is None
    provider.account = "acc-2"
    assert finish(inside, provider, second, known=[first])["connection"] == second


def test_another_persons_connection_is_never_taken_for_ones_own(inside: Keeper, provider: Scripted) -> None:
    """The web process names what the person has: the keeper looks for itself."""
    theirs = connected(inside, provider, person="per_other")
    mine = name_of("con")
    assert finish(inside, provider, mine, known=[theirs])["connection"] == mine
    assert stored(inside, theirs)["person"] == "per_other"


def test_a_consent_of_another_account_is_ended_there_and_the_old_one_goes_on(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    provider.account = "acc-2"
    with pytest.raises(ProviderRefused, match="another account"):
        finish(inside, provider, connection)
    assert len(provider.revoked) == 2
    assert stored(inside, connection)["account"] == "acc-1"
    assert mint(inside, connection)["token"]


def test_a_renewal_beside_a_new_consent_costs_neither(inside: Keeper, provider: Scripted) -> None:
    """The code is spent: what it gave is written over what the renewal wrote."""
    connection = connected(inside, provider)
    begun = connecting.connect_begin(inside, {
        "provider": "harbour", "person": OWNER, "redirect_uri": "http://localhost:8000/connections/callback", "scopes": list(ALL),
    })
    provider.redeeming.append(lambda _handler: bool(mint(inside, connection)) and False)
    connecting.connect_finish(inside, {
        "connection": connection, "person": OWNER, "sealed": begun["sealed"], "state": begun["state"], "code": "a-code",
        "iss": provider.url,
    })
    assert mint(inside, connection)["token"]


def test_the_record_says_what_happened_to_it_and_when(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    connection = connected(inside, provider)
    mint(inside, connection)
    clock.forward(seconds=3700)
    provider.living.clear()
    with pytest.raises(NeedsConsent):
        mint(inside, connection)
    found = state(inside, connection)["events"]
    assert [what for what, _at in found] == ["refused", "renewed", "connected"]  # type: ignore[attr-defined]
    for _ in range(20):
        finish(inside, provider, connection)
    assert len(state(inside, connection)["events"]) == 12  # type: ignore[arg-type]


def test_the_account_picker_is_asked_for_only_where_it_is_understood(inside: Keeper, provider: Scripted, tmp_path: Path) -> None:
    connected(inside, provider)

    def url(*, pick: bool) -> str:
        return str(connecting.connect_begin(inside, {
            "provider": "harbour", "person": OWNER, "redirect_uri": "http://localhost:8000/connections/callback",
            "scopes": ["accounts:read"], "pick": pick,
        })["url"])

    assert "prompt" not in url(pick=True)
    as_facts(inside, picker=True, authorize_params={"prompt": "consent"})
    assert "prompt=consent+select_account" in url(pick=True).replace("%20", "+")
    assert "select_account" not in url(pick=False)
    assert "code_challenge_method=S256" in url(pick=True)


def test_what_is_over_by_its_own_lifetime_is_known_to_be_though_the_provider_answers_an_error(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    """RFC 7009 section 2.2 says 200 for a token that is over; some say 400, for ever. It stays pending, and says so."""
    connection = connected(inside, provider)
    grants.mint(inside, {
        "connection": connection, "person": OWNER, "scopes": ["accounts:read"], "receiver": "bank", "cap": 60, "exclusive": True,
    })
    provider.strange = {"access-secret-2"}
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    asked = {"connection": connection}
    assert accounts.revoke_connection(inside, asked) == {"outcome": "pending", "detail": ""}
    clock.forward(seconds=3601)
    assert accounts.revoke_connection(inside, asked) == {"outcome": "pending", "detail": "expired"}
    provider.revocation = 503
    assert accounts.revoke_connection(inside, asked) == {"outcome": "pending", "detail": ""}, "the refresh token ends by nothing"
    provider.revocation, provider.strange = 200, set()
    assert accounts.revoke_connection(inside, asked) == {"outcome": "confirmed", "detail": ""}


def test_it_is_known_of_tokens_that_a_pause_left_behind_and_of_one_calls_token(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(inside, provider)
    minted = mint(inside, connection, exclusive=True)
    provider.strange = {"access-secret-2"}
    lease = {"connection": connection, "token_ref": minted["token_ref"]}
    clock.forward(seconds=3601)
    assert grants.end_lease(inside, lease) == {"outcome": "pending", "detail": "expired"}
    pause(inside, connection)
    assert ending.end_tokens(inside, {"connection": connection})["detail"] == "expired"
