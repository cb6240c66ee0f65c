"""Client secrets and refresh tokens are replaced while many ask at once: none of their requests fails."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.asking import Asking
from tests.figures import Figures
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import serve
from tests.small_idp import SECRET, SmallIdp
from tests.small_idp import serve as serve_idp
from tests.vault.accounts import connected, finish, mint, name_of
from vault import client_secrets, grants, sso
from vault.renewal import load
from vault.table import Keeper

OLD = "scripted-client-secret"
DAY = 86400


@pytest.fixture
def inside(keeper: KeeperParts) -> Keeper:
    return unbounded(keeper)


def unbounded(keeper: KeeperParts) -> Keeper:
    """One that refreshes as often as it is asked to."""
    made = keeper.inside()
    return replace(made, settings=replace(made.settings, mints_per_minute=100_000, refreshes_per_minute=100_000))


def leased(keeper: Keeper, connection: str) -> None:
    """A token of its own, for which the provider is asked, and its end there."""
    minted = mint(keeper, connection, exclusive=True)
    ended = grants.end_lease(keeper, {"connection": connection, "token_ref": minted["token_ref"]})
    assert ended["outcome"] == "confirmed"


def replaced(asking: Asking, keeper: Keeper, kind: str, name: str, first: str, knows: Callable[[set[str]], None]) -> None:
    """Twice, as an operator does it: here, then at the provider, which knows both for a while; then the overlap is ended."""
    for old, new in ((first, "the-second"), ("the-second", "the-third")):
        asking.more()
        client_secrets.put(keeper, {"kind": kind, "name": name, "secret": new, "overlap": DAY})
        asking.more()
        for known in ({old, new}, {new}):
            knows(known)
            asking.more()
        assert client_secrets.end(keeper, {"kind": kind, "name": name}) == {"ended": True}
        asking.more()


def test_none_fails_while_a_providers_client_secret_is_replaced(inside: Keeper, figures: Figures) -> None:
    with serve() as provider:
        provider.secrets = {OLD}
        accounts = [connected(inside, provider) for _ in range(3)]
        asking = Asking({
            **{f"leases {number}": partial(leased, inside, one) for number, one in enumerate(accounts)},
            "renewals": lambda: grants.try_renewal(inside, {"connection": accounts[0]}),
            "consents": lambda: finish(inside, provider, name_of("con")),
        }, pause=0.1)
        with asking.running():
            replaced(asking, inside, "provider", "harbour", OLD, lambda known: setattr(provider, "secrets", known))
        asking.none_failed(figures, "a provider's client secret was replaced")
        assert set(provider.shown().values()) == {1}, "a client that is not known spends no refresh token"


def test_none_fails_while_an_identity_providers_client_secret_is_replaced(inside: Keeper, figures: Figures) -> None:
    with serve_idp() as idp:
        sso.idp_put(inside, {"name": "busy", "record": idp.record})
        asking = Asking({name: partial(signed_in, inside, idp, name) for name in ("ada", "bob", "cleo", "dora")})
        with asking.running():
            replaced(asking, inside, "idp", "busy", SECRET, lambda known: setattr(idp, "secrets", known))
        asking.none_failed(figures, "an identity provider's client secret was replaced")


def signed_in(keeper: Keeper, idp: SmallIdp, who: str) -> None:
    begun = sso.sign_in_begin(keeper, {"idp": "busy", "redirect_uri": "http://localhost:8000/sign-in/callback"})
    answer = idp.authorize(begun["url"], subject=who, name=who.title())
    found = sso.sign_in_finish(keeper, {"sealed": begun["sealed"], "session": secrets.token_urlsafe(32), **answer})
    assert found["name"] == who.title()


def test_none_fails_while_refresh_tokens_are_replaced_under_those_who_take_leases(
    keeper: KeeperParts, figures: Figures
) -> None:
    """One account, two keepers; its provider takes no refresh token twice, and ends the consent when one is shown again."""
    one, other = unbounded(keeper), unbounded(keeper)
    with serve(reuse_kills=True) as provider:
        connection = connected(one, provider)
        asking = Asking({
            "leases": lambda: mint(one, connection), "leases at the other": lambda: mint(other, connection, receiver="desk"),
            "leases for one call": partial(leased, one, connection), "and at the other": partial(leased, other, connection),
            "renewals": lambda: grants.try_renewal(one, {"connection": connection}),
            "renewals too": lambda: grants.try_renewal(other, {"connection": connection}),
        }, pause=0.2)  # longer than who waits for its turn waits between two looks: each gets its turn
        with asking.running():
            asking.more(6)
        asking.none_failed(figures, "refresh tokens were replaced")
        record, _version = load(one, connection)
        assert record.status == "active"
        assert record.refresh is not None
        assert provider.living == {record.refresh.reveal()}
        assert set(provider.shown().values()) == {1}
        figures.add("refresh tokens replaced under leases", len(provider.refreshes))
