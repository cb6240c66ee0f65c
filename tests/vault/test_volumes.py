"""Spool volumes apart: a refresh token that may be spent is not shown again while the answer may lie on another volume."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, hang_up, serve
from tests.vault.accounts import OWNER, connected, mint, stored
from vault import accounts, volumes
from vault.errors import NeedsConsent, ProviderAway, VaultAway
from vault.kv import Kv
from vault.providers.catalogue import load
from vault.renewal import GONE, WAITED_FOR, drain
from vault.spool import Spool
from vault.table import Keeper
from vault.upstreams import Timing, upstreams


def on_volume(keeper: KeeperParts, clock: Clock, folder: Path) -> Keeper:
    made = keeper.inside(clock)
    ours = upstreams(made)
    ours.timing, ours.spool = Timing(wait=0.1), Spool(folder)
    return made


@pytest.fixture
def here(keeper: KeeperParts, clock: Clock, tmp_path: Path) -> Iterator[Keeper]:
    made = on_volume(keeper, clock, tmp_path / "here" / "spool")
    yield made
    made.vault.wire.close()


@pytest.fixture
def there(keeper: KeeperParts, clock: Clock, tmp_path: Path) -> Iterator[Keeper]:
    made = on_volume(keeper, clock, tmp_path / "there" / "spool")
    yield made
    made.vault.wire.close()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    """It ends the whole consent when one of its refresh tokens is shown twice."""
    with serve(reuse_kills=True) as made:
        yield made


class Dies(BaseException):
    """The process is gone: nothing of ours may catch this and carry on."""


class Mortal(Kv):
    """Dies before the n-th write: 1 is the claim, 2 the answer."""

    def __init__(self, real: Kv, write: int) -> None:
        self.__dict__.update(real.__dict__)
        self.left = write

    def write(self, path: str, data: Any, cas: int) -> int:
        self.left -= 1
        if self.left == 0:
            raise Dies
        return super().write(path, data, cas)


def dies_between_spool_and_vault(keeper: Keeper, connection: str) -> None:
    real, keeper.kv = keeper.kv, Mortal(keeper.kv, 2)
    with pytest.raises(Dies):
        mint(keeper, connection)
    keeper.kv = real


def past(clock: Clock, keeper: Keeper) -> None:
    clock.forward(minutes=keeper.settings.lost_volume_minutes)


def test_a_volume_has_a_name_of_its_own_that_it_keeps(tmp_path: Path) -> None:
    """Of many that come first, one names it."""
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(Spool(tmp_path / "a").volume)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(names), len(set(names))) == (8, 1)
    assert Spool(tmp_path / "a").volume == names[0] != Spool(tmp_path / "b").volume


def test_a_volume_that_is_only_restarting_loses_no_account(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    for wait in (31, 60, 600):
        clock.forward(seconds=wait)
        with pytest.raises(ProviderAway) as caught:
            mint(there, connection)
    assert caught.value.hint == WAITED_FOR
    assert len(provider.refreshes) == 1
    drain(here)
    assert mint(there, connection)["token"] == "access-secret-2"
    clock.forward(seconds=3700)
    assert mint(there, connection)["token"]
    assert provider.shown() == {"refresh-secret-1": 1, "refresh-secret-2": 1}


def test_a_volume_that_lives_says_what_it_holds_though_nobody_asks_there(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    volumes.tidy(here)
    assert stored(here, connection)["claim"], "a claim that is alive is left alone"
    clock.forward(seconds=31)
    volumes.tidy(here)
    assert stored(here, connection)["claim"] is None
    assert mint(there, connection)["token"]
    assert len(provider.refreshes) == 1
    assert not [path for path in upstreams(here).spool.folder.iterdir() if path.name != "volume"]


def test_a_volume_that_holds_nothing_lets_go(here: Keeper, there: Keeper, provider: Scripted, clock: Clock) -> None:
    """Whoever claimed died before the provider was asked."""
    connection = connected(here, provider)

    class Claims(Mortal):
        def write(self, path: str, data: Any, cas: int) -> int:
            super().write(path, data, cas)
            raise Dies

    real, here.kv = here.kv, Claims(here.kv, 9)
    with pytest.raises(Dies):
        mint(here, connection)
    here.kv = real
    clock.forward(seconds=31)
    with pytest.raises(ProviderAway):
        mint(there, connection)
    volumes.tidy(here)
    assert mint(there, connection)["token"]
    assert provider.shown() == {"refresh-secret-1": 1}


def test_an_answer_that_was_lost_is_let_go_too(here: Keeper, there: Keeper, provider: Scripted, clock: Clock) -> None:
    """Nothing of it lies anywhere, so the other volume may ask the once more that there is."""
    connection = connected(here, provider)
    provider.before.append(hang_up)
    with pytest.raises(ProviderAway):
        mint(here, connection)
    clock.forward(seconds=31)
    volumes.tidy(here)
    claim = stored(here, connection)["claim"]
    assert (claim["volume"], claim["tries"]) == ("", 1)
    assert mint(there, connection)["token"]


def test_a_volume_that_stays_away_costs_a_reconnect_and_no_more(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock
) -> None:
    """After the bound the person is told, and nothing was shown twice: should the volume come back after all, so does the
    account."""
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    clock.forward(seconds=31)
    past(clock, there)
    with pytest.raises(NeedsConsent) as caught:
        mint(there, connection)
    assert caught.value.hint == GONE
    assert stored(there, connection)["status"] == "needs_consent"
    assert len(provider.refreshes) == 1
    drain(here)
    assert stored(there, connection)["status"] == "active"
    clock.forward(seconds=3700)
    assert mint(there, connection)["token"]


def test_where_refresh_tokens_do_not_rotate_nobody_waits(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "steady.yaml").write_text("{extends: harbour, rotates: false}")
    for one in (here, there):
        upstreams(one).catalogue = lambda: load(tmp_path)
    provider.rotates = False
    connection = connected(here, provider, entry="steady")
    dies_between_spool_and_vault(here, connection)
    clock.forward(seconds=31)
    assert mint(there, connection)["token"]
    assert provider.shown() == {"refresh-secret-1": 2}


def test_a_disconnected_account_is_ended_with_the_token_that_lies_on_the_other_volume(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    accounts.disconnect(there, {"connection": connection, "person": OWNER})
    clock.forward(seconds=31)
    assert accounts.revoke_connection(there, {"connection": connection})["outcome"] == "pending"
    volumes.tidy(here)
    assert accounts.revoke_connection(there, {"connection": connection})["outcome"] == "confirmed"
    assert provider.living == set()


def test_a_disconnected_account_whose_volume_stays_away_is_ended_after_the_bound(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    accounts.disconnect(there, {"connection": connection, "person": OWNER})
    clock.forward(seconds=31)
    past(clock, there)
    assert accounts.revoke_connection(there, {"connection": connection})["outcome"] == "confirmed"


def test_a_volume_that_cannot_be_written_to_asks_nobody(here: Keeper, provider: Scripted, tmp_path: Path) -> None:
    connection = connected(here, provider)
    (tmp_path / "file").write_text("")
    upstreams(here).spool = Spool(tmp_path / "file" / "spool")
    with pytest.raises(OSError):
        mint(here, connection)
    assert provider.refreshes == []


def test_a_claim_that_cannot_be_settled_now_is_settled_later(
    here: Keeper, there: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    clock.forward(seconds=31)

    class Away(Kv):
        def read(self, path: str) -> Any:
            raise VaultAway("sealed")

    real = here.kv
    here.kv = Away.__new__(Away)
    volumes.tidy(here)
    here.kv = real
    assert len(list(upstreams(here).spool.asked())) == 1
    volumes.tidy(here)
    assert not list(upstreams(here).spool.asked())
    assert mint(there, connection)["token"]


def test_how_long_is_the_operators_to_say(here: Keeper, there: Keeper, provider: Scripted, clock: Clock) -> None:
    there.settings = replace(there.settings, lost_volume_minutes=1)
    connection = connected(here, provider)
    dies_between_spool_and_vault(here, connection)
    clock.forward(seconds=92)
    with pytest.raises(NeedsConsent):
        mint(there, connection)
