"""A claim whose writing failed, but which the vault took: whoever wrote it knows that nobody was asked with it, and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, error, hang_up, serve
from tests.vault.accounts import connected, mint, stored
from vault.errors import NeedsConsent, ProviderAway, VaultAway
from vault.kv import Kv
from vault.record import Claim
from vault.table import Keeper, utc_now
from vault.upstreams import UNASKED_KEPT, Timing, Unasked, upstreams


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    upstreams(made).timing = Timing(wait=0.1)
    yield made
    made.vault.wire.close()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve(reuse_kills=True) as made:
        yield made


class Leaderless(Kv):
    """The real store, whose leader dies at the n-th write: it was taken, and the answer never came."""

    def __init__(self, real: Kv, *, write: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.__dict__.update(real.__dict__)
        self.left, self.meanwhile = write, meanwhile

    def write(self, path: str, data: Any, cas: int) -> int:
        self.left -= 1
        version = super().write(path, data, cas)
        if self.left == 0:
            self.meanwhile()
            raise VaultAway("the leader died")
        return version


def unheard(keeper: Keeper, connection: str, *, write: int = 1, expected: type[Exception] = VaultAway, **more: Any) -> None:
    real = keeper.kv
    keeper.kv = Leaderless(real, write=write, **more)
    with pytest.raises(expected):
        mint(keeper, connection)
    keeper.kv = real


def test_a_claim_that_was_written_unheard_holds_its_own_keeper_up_for_no_moment(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    unheard(inside, connection)
    assert stored(inside, connection)["claim"] is not None
    assert provider.refreshes == []
    assert mint(inside, connection)["token"]
    assert len(provider.refreshes) == 1
    assert stored(inside, connection)["claim"] is None


def test_any_other_keeper_waits_for_it(inside: Keeper, provider: Scripted, keeper: KeeperParts, clock: Clock) -> None:
    connection = connected(inside, provider)
    unheard(inside, connection)
    other = keeper.inside(clock)
    upstreams(other).timing = Timing(wait=0.1)
    with pytest.raises(ProviderAway):
        mint(other, connection)
    assert provider.refreshes == []
    clock.forward(seconds=31)
    assert mint(other, connection)["token"]
    other.vault.wire.close()


def test_a_claim_of_ours_that_was_heard_is_waited_for(inside: Keeper, provider: Scripted) -> None:
    """The provider was asked with it: whether it did anything is not known."""
    connection = connected(inside, provider)
    provider.before.append(hang_up)
    for _ in range(2):
        with pytest.raises(ProviderAway):
            mint(inside, connection)
    assert len(provider.refreshes) == 1


def test_the_one_who_overtook_and_asked_is_not_taken_for_the_one_who_gave_up(inside: Keeper, provider: Scripted) -> None:
    """Two renewals of one keeper: the write of the first came to nothing, the second asked under the same fence and waits."""
    connection = connected(inside, provider)
    real = inside.kv

    class Lost(Kv):
        def __init__(self) -> None:
            self.__dict__.update(real.__dict__)

        def write(self, path: str, data: Any, cas: int) -> int:
            inside.kv = real
            provider.before.append(hang_up)
            with pytest.raises(ProviderAway):
                mint(inside, connection)
            raise VaultAway("never taken")

    inside.kv = Lost()
    with pytest.raises(VaultAway):
        mint(inside, connection)
    assert stored(inside, connection)["claim"]["fence"] == 1
    with pytest.raises(ProviderAway):
        mint(inside, connection)
    assert len(provider.refreshes) == 1


def test_of_eight_that_find_such_a_claim_one_asks(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    unheard(inside, connection)
    upstreams(inside).timing = Timing()
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(mint(inside, connection)["token"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert (len(tokens), len(set(tokens)), len(provider.refreshes)) == (8, 1, 1)


def test_it_does_not_count_as_an_answer_that_was_lost(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.grace = True
    connection = connected(inside, provider)
    provider.before += [hang_up, hang_up]
    with pytest.raises(ProviderAway):
        mint(inside, connection)
    clock.forward(seconds=31)
    for _ in range(3):
        unheard(inside, connection)
    with pytest.raises(ProviderAway):
        mint(inside, connection)
    assert stored(inside, connection)["claim"]["tries"] == 2
    clock.forward(seconds=31)
    with pytest.raises(NeedsConsent):
        mint(inside, connection)
    assert len(provider.refreshes) == 2


def test_a_provider_that_was_certainly_not_heard_holds_nobody_up_either(inside: Keeper, provider: Scripted) -> None:
    """It said that it could not, and then the vault did not take back the claim."""
    connection = connected(inside, provider)
    provider.before.append(error(503))
    real = inside.kv

    class Dead(Leaderless):
        def write(self, path: str, data: Any, cas: int) -> int:
            if data["claim"] is None:
                raise VaultAway("the leader died")
            return real.write(path, data, cas)

    inside.kv = Dead(real, write=0)
    with pytest.raises(VaultAway):
        mint(inside, connection)
    inside.kv = real
    assert stored(inside, connection)["claim"] is not None
    assert mint(inside, connection)["token"]
    assert len(provider.refreshes) == 2


def test_what_is_kept_of_such_claims_is_bounded() -> None:
    kept, claim = Unasked(), Claim("k", 1, utc_now() + timedelta(seconds=30), 1)
    for number in range(UNASKED_KEPT + 5):
        kept.add(replace(claim, holder=f"k.{number}"))
    assert not kept.has(replace(claim, holder="k.0"))
    assert kept.has(replace(claim, holder=f"k.{UNASKED_KEPT + 4}"))
    assert not kept.has(None)
