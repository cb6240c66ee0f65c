"""The provider that the tests of renewal rely on does what they take it to do; and two of its ways that no fault point needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, cut_off, error, hang_up, late, serve, twice
from tests.vault.accounts import connected, mint
from vault.errors import NeedsConsent, ProviderAway
from vault.providers.catalogue import Catalogue, load
from vault.secret import Secret
from vault.table import Keeper
from vault.transport import AnswerLost, Transport
from vault.upstream import Endpoints, refresh
from vault.upstreams import upstreams

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def show(provider: Scripted, token: str, *, patience: float = 10.0) -> str:
    """Trade in a refresh token: the next one."""
    at = Endpoints(_catalogue()["harbour"], "c", Secret("s"), token_url=f"{provider.url}/token")
    transport = Transport(loopback=True, deadline=patience)
    found = refresh(at, transport, token=Secret(token), scopes=["accounts:read"], now=NOW)
    assert found.refresh is not None
    return found.refresh.reveal()


def _catalogue() -> Catalogue:
    return load(None, local=True)


def issued(provider: Scripted) -> str:
    return str(provider.issue("accounts:read")["refresh_token"])


def test_a_token_is_good_once_and_twice_where_there_is_grace() -> None:
    with serve() as strict, serve(grace=True) as mild:
        for provider, again in ((strict, False), (mild, True)):
            first = issued(provider)
            assert show(provider, show(provider, first)) != first
            if again:
                assert show(provider, first)
            with pytest.raises(NeedsConsent):
                show(provider, first)


def test_one_that_does_not_rotate_gives_the_same_token_back() -> None:
    with serve(rotates=False) as provider:
        first = issued(provider)
        assert [show(provider, first) for _ in range(3)] == [first] * 3


def test_reuse_ends_all_that_came_of_the_same_consent_and_nothing_else() -> None:
    with serve(reuse_kills=True) as provider:
        first, other = issued(provider), issued(provider)
        newest = show(provider, show(provider, first))
        with pytest.raises(NeedsConsent):
            show(provider, first)
        with pytest.raises(NeedsConsent):
            show(provider, newest)
        assert show(provider, other)
        assert provider.shown()[first] == 2


def test_an_answer_may_be_lost_before_anything_happened_or_after_it_did() -> None:
    with serve() as provider:
        first = issued(provider)
        provider.before.append(hang_up)
        with pytest.raises(AnswerLost):
            show(provider, first)
        second = show(provider, first)
        for lost in (hang_up, cut_off):
            provider.after.append(lost)
            with pytest.raises(AnswerLost):
                show(provider, second)
            with pytest.raises(NeedsConsent):
                show(provider, second)
            second = issued(provider)
        provider.before.append(error(503))
        with pytest.raises(ProviderAway):
            show(provider, second)
        provider.before.append(late(1.0))
        with pytest.raises(AnswerLost):
            show(provider, second, patience=0.2)


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    yield made
    made.vault.wire.close()


def test_an_answer_that_comes_twice_counts_once(inside: Keeper, clock: Clock) -> None:
    """The second is never read: it belongs to no question, and the connection was for this one alone."""
    with serve(reuse_kills=True) as provider:
        connection = connected(inside, provider)
        for _ in range(3):
            provider.after.append(twice)
            assert mint(inside, connection)["token"] == f"access-secret-{provider._count}"
            clock.forward(seconds=3700)
        assert set(provider.shown().values()) == {1}


def test_an_answer_that_comes_late_but_in_time_is_taken_and_nobody_asks_meanwhile(inside: Keeper) -> None:
    with serve(reuse_kills=True) as provider:
        connection = connected(inside, provider)
        provider.before.append(late(0.3))
        provider.after.append(late(0.3))
        assert upstreams(inside).transport.deadline > 0.6
        assert mint(inside, connection)["token"]
        assert set(provider.shown().values()) == {1}
