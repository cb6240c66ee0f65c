"""32 requests at expiry, over four keepers on two spool volumes: one call to the provider, and a token for each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.doomed import POINTS
from tests.figures import Figures
from tests.fleet import Fleet, running
from tests.keeper_parts import KeeperParts, until
from tests.scripted_provider import late, serve
from tests.vault.accounts import OWNER, connected, stored
from vault.door import Door
from vault.errors import KeeperAway, ProviderAway, VaultAway
from vault.renewal import WAITED_FOR
from vault.table import Keeper

REQUESTS, ACCOUNTS = 32, 4
UNKNOWN = ("claimed", "answered")
OWN = dict.fromkeys(("flight", "jealous"), "{extends: harbour}")


@pytest.fixture(scope="module")
def fleet(keeper_session: KeeperParts) -> Iterator[Fleet]:
    keeper_session.mend()
    with running(keeper_session, providers=OWN) as made:
        yield made


@pytest.fixture
def inside(fleet: Fleet) -> Iterator[Keeper]:
    fleet.spare()
    fleet.ahead(0)
    fleet.ready()
    made = fleet.inside()
    yield made
    made.vault.wire.close()
    fleet.spare()


def ask(door: Door, connection: str, stop: threading.Event) -> str:
    """As an agent does that is told to try again in a moment."""
    while not stop.is_set():
        try:
            minted = door.mint(connection=connection, person=OWNER, scopes=["accounts:read"], receiver="bank", cap=300)
            return minted.token.reveal()
        except (KeeperAway, ProviderAway, VaultAway):
            stop.wait(0.1)
    raise TimeoutError("no token")


def all_of_them(fleet: Fleet, connection: str, point: str = "") -> list[str]:
    """What 32 requests are given that come at once. After a death of which nothing is left but the claim, its life passes."""
    stop = threading.Event()
    with ThreadPoolExecutor(REQUESTS) as pool:
        try:
            asked = [pool.submit(ask, fleet.doors[n % len(fleet.doors)], connection, stop) for n in range(REQUESTS)]
            if point:
                until(lambda: not fleet.doomed, f"a keeper dies at {point}")
            if point in UNKNOWN:
                fleet.ahead(31)
            return [one.result(120) for one in asked]
        finally:
            stop.set()


def test_32_requests_at_expiry_over_four_keepers_make_one_call(
    fleet: Fleet, inside: Keeper, figures: Figures
) -> None:
    with serve(reuse_kills=True) as provider:
        connection = connected(inside, provider, entry="flight")
        provider.before.append(late(0.5))
        tokens = all_of_them(fleet, connection)
        assert (len(tokens), len(set(tokens)), len(provider.refreshes)) == (REQUESTS, 1, 1)
        provider.before.append(late(0.5))
        fleet.ahead(3700)
        again = all_of_them(fleet, connection)
        assert (len(again), len({*again, *tokens}), len(provider.refreshes)) == (REQUESTS, 2, 2)
        figures.add("single flight: requests at expiry", 2 * REQUESTS)
        figures.add("single flight: calls to the provider", len(provider.refreshes))


@pytest.mark.parametrize("point", POINTS)
def test_all_of_them_get_a_token_when_the_one_that_asks_is_killed(
    fleet: Fleet, inside: Keeper, point: str, figures: Figures
) -> None:
    """Only where the answer was lost is the provider asked once more, and with a grace period it answers."""
    with serve(grace=True) as provider:
        connection = connected(inside, provider, entry="flight")
        fleet.doom(point)
        tokens = all_of_them(fleet, connection, point)
        shown = provider.shown()
    assert (len(tokens), len(set(tokens))) == (REQUESTS, 1)
    assert shown == Counter({"refresh-secret-1": 2 if point == "answered" else 1})
    assert stored(inside, connection)["status"] == "active"
    assert not [left for volume in fleet.volumes for left in (volume / "spool").glob(f"{connection}.*")]
    figures.add("single flight: keepers killed while they asked", 1)


def away(door: Door, connection: str) -> str:
    with pytest.raises(ProviderAway) as caught:
        door.mint(connection=connection, person=OWNER, scopes=["accounts:read"], receiver="bank", cap=300)
    return caught.value.hint


def test_no_account_is_lost_when_another_volume_asks_first(fleet: Fleet, inside: Keeper, figures: Figures) -> None:
    """Killed between spool and vault, and its whole volume is away for a while. The provider ends a consent when one of its
    refresh tokens is shown twice: so keepers of the other volume do not show it, and go on when the first is back."""
    stop = threading.Event()
    with serve(reuse_kills=True) as provider, ThreadPoolExecutor(ACCOUNTS) as pool, ExitStack() as last:
        last.callback(stop.set)
        made = [connected(inside, provider, entry="jealous") for _ in range(ACCOUNTS)]
        fleet.doom("spooled", ACCOUNTS)
        fleet.down(0, but=0)
        asked = [pool.submit(ask, fleet.doors[0], one, stop) for one in made]
        until(lambda: not fleet.doomed, "the keeper dies with its answers spooled")
        fleet.ahead(50)
        assert {away(fleet.doors[1 + 2 * (at % 2)], one) for at, one in enumerate(made)} == {WAITED_FOR}
        assert max(provider.shown().values()) == 1
        fleet.spare()
        fleet.ready()
        tokens = [one.result(120) for one in asked]
        fleet.ahead(3700)
        again = [ask(fleet.doors[1], one, stop) for one in made]
        assert (len({*tokens, *again}), max(provider.shown().values())) == (2 * ACCOUNTS, 1)
    lost = [one for one in made if stored(inside, one)["status"] != "active"]
    figures.add("another volume asks first: accounts", len(made))
    figures.add("another volume asks first: accounts lost", len(lost))
    assert lost == []
