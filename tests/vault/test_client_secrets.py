"""A client secret is replaced with an overlap: no request fails while the provider knows the old one, both, or the new one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, serve
from tests.small_idp import SECRET, SmallIdp
from tests.small_idp import serve as serve_idp
from tests.vault.accounts import connected, finish, mint, name_of, stored
from vault import accounts, client_secrets, grants, sso
from vault.ages import ages
from vault.errors import BadRequest, NotKnown, ProviderRefused
from vault.table import Keeper

OLD, NEW = "scripted-client-secret", "the-new one/+%"
DAY = 86400


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve(expires_in=60) as made:
        made.secrets = {OLD}
        yield made


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Keeper:
    return keeper.inside(clock)


def replaced(keeper: Keeper, secret: str = NEW, overlap: int = DAY, **more: Any) -> None:
    client_secrets.put(keeper, {"kind": "provider", "name": "harbour", "secret": secret, "overlap": overlap, **more})


def renewed(keeper: Keeper, connection: str, clock: Clock) -> None:
    """A token that only the provider can give."""
    clock.forward(minutes=2)
    grants.try_renewal(keeper, {"connection": connection})
    mint(keeper, connection)


def test_no_request_fails_while_the_provider_knows_the_old_one_both_or_the_new_one(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    """Codes, renewals and revocations; and each refresh token is shown with a known client once."""
    connection = connected(inside, provider)
    replaced(inside)
    for known in ({OLD}, {OLD, NEW}, {NEW}):
        provider.secrets = known
        renewed(inside, connection, clock)
        exclusive = mint(inside, connection, exclusive=True)
        revoked = len(provider.revoked)
        assert grants.end_lease(inside, {"connection": connection, "token_ref": exclusive["token_ref"]})["outcome"] == "confirmed"
        assert len(provider.revoked) == revoked + 1
    again = connected_again(inside, provider)
    assert mint(inside, again)["token"]
    sent = [one["refresh_token"] for one in provider.refreshes]
    assert len(sent) == len(set(sent)), "a client that is not known spends nothing"
    shown = " ".join(str(one) for one in ages(inside, {})["secrets"])
    assert "the one before is tried too" in shown
    assert OLD not in shown
    assert NEW not in shown


def connected_again(keeper: Keeper, provider: Scripted) -> str:
    connection = name_of("con")
    finish(keeper, provider, connection)
    return connection


def test_the_overlap_ends_by_itself_or_by_an_operator_and_the_old_one_is_shredded(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(inside, provider)
    replaced(inside, overlap=3600)
    client_secrets.shred(inside)
    renewed(inside, connection, clock)
    clock.forward(hours=1)
    with pytest.raises(ProviderRefused):
        renewed(inside, connection, clock)
    client_secrets.shred(inside)
    record = inside.kv.read("providers/harbour")
    assert record is not None
    assert OLD not in str(record.data)
    provider.secrets = {NEW}
    renewed(inside, connection, clock)
    assert stored(inside, connection)["status"] == "active", "an unknown client ends no account"
    replaced(inside, "third", overlap=30 * DAY)
    assert client_secrets.end(inside, {"kind": "provider", "name": "harbour"}) == {"ended": True}
    with pytest.raises(ProviderRefused):
        renewed(inside, connection, clock)
    assert client_secrets.end(inside, {"kind": "provider", "name": "harbour"}) == {"ended": False}


def test_who_gives_a_wrong_one_first_and_then_the_right_one_loses_nothing(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(inside, provider)
    replaced(inside, "mistyped")
    replaced(inside)
    renewed(inside, connection, clock)
    provider.secrets = {NEW}
    renewed(inside, connection, clock)


@pytest.mark.parametrize(("changes", "words"), [
    ({"overlap": 599}, "between"), ({"overlap": 30 * DAY + 1}, "between"), ({"overlap": "x"}, ""), ({"secret": ""}, ""),
    ({"secret": " x"}, "one line"), ({"secret": "a\nb"}, "one line"), ({"secret": OLD}, "already"), ({"kind": "people"}, ""),
    ({"name": "../people/x"}, ""), ({"secret": "x" * 5000}, ""),
], ids=["short", "long", "no number", "empty", "blank", "two lines", "the same", "kind", "path", "huge"])
def test_what_is_refused(inside: Keeper, provider: Scripted, changes: dict[str, Any], words: str) -> None:
    accounts.provider_put(inside, {"name": "harbour", "record": provider.record()})
    before = inside.kv.read("providers/harbour")
    with pytest.raises(BadRequest) as caught:
        replaced(inside, **{"secret": NEW, **changes})
    assert words in caught.value.hint
    assert inside.kv.read("providers/harbour") == before


def test_a_provider_that_is_not_set_up_gets_none(inside: Keeper) -> None:
    with pytest.raises(NotKnown):
        client_secrets.put(inside, {"kind": "provider", "name": "nobody", "secret": NEW, "overlap": DAY})
    with pytest.raises(NotKnown):
        client_secrets.end(inside, {"kind": "idp", "name": "nobody"})


def test_persons_sign_in_all_the_while_that_the_identity_providers_secret_is_replaced(inside: Keeper) -> None:
    with serve_idp() as idp:
        sso.idp_put(inside, {"name": "turned", "record": idp.record})
        signed_in(inside, idp)
        client_secrets.put(inside, {"kind": "idp", "name": "turned", "secret": "another", "overlap": DAY})
        for known in ({SECRET}, {SECRET, "another"}, {"another"}):
            idp.secrets = known
            signed_in(inside, idp)
        inside.clock.forward(hours=23)  # type: ignore[attr-defined]
        idp.secrets = {"a-stranger"}
        with pytest.raises(ProviderRefused):
            signed_in(inside, idp)


def signed_in(keeper: Keeper, idp: SmallIdp) -> None:
    redirect = "http://localhost:8000/sign-in/callback"
    begun = sso.sign_in_begin(keeper, {"idp": "turned", "redirect_uri": redirect})
    answer = idp.authorize(begun["url"], subject="ada", name="Ada")
    sso.sign_in_finish(keeper, {"sealed": begun["sealed"], "session": "s" * 43, **answer})
