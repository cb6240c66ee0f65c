"""No rotated refresh token is lost, nobody refreshes beside another, and what cannot be known is asked once more at most."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts, until
from tests.processes import freeze
from tests.scripted_provider import Fault, Scripted, cut_off, error, hang_up, late, serve, then
from tests.vault.accounts import OWNER, connected, finish, mint, name_of, stored
from vault import accounts, connecting, grants
from vault.errors import Disconnected, KeeperAway, NeedsConsent, ProviderAway, ProviderRefused, ScopeRefused, VaultAway
from vault.kv import Kv
from vault.providers.catalogue import load
from vault.renewal import drain
from vault.table import Keeper
from vault.transport import Transport
from vault.upstreams import Timing, upstreams


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    yield made
    made.vault.wire.close()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as made:
        yield made


def expire(keeper: Keeper, clock: Clock) -> None:
    """Past the end of every access token, and of every claim."""
    clock.forward(seconds=3700)


def spooled(keeper: Keeper) -> list[Path]:
    return sorted(upstreams(keeper).spool.folder.glob("con_*"))


# -- one refresher ---------------------------------------------------------------------------------------------------


def test_eight_requests_at_expiry_make_one_refresh(keeper: KeeperParts, provider: Scripted) -> None:
    """Through the door, in the real keeper, and in a second one beside it."""
    other = keeper.inside()
    connection = connected(other, provider)
    assert "harbour" in keeper.door.providers()
    provider.before.append(late(0.3))
    tokens: list[str] = []

    def ask() -> None:
        minted = keeper.door.mint(connection=connection, person=OWNER, scopes=["accounts:read"], receiver="bank", cap=300)
        tokens.append(minted.token.reveal())

    threads = [threading.Thread(target=ask) for _ in range(7)]
    threads.append(threading.Thread(target=lambda: tokens.append(mint(other, connection)["token"])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    other.vault.wire.close()
    assert len(provider.refreshes) == 1
    assert len(tokens) == 8
    assert len(set(tokens)) == 1


def test_renewals_follow_each_other_with_rotating_tokens(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    connection = connected(inside, provider)
    tokens = []
    for _ in range(4):
        tokens.append(mint(inside, connection)["token"])
        expire(inside, clock)
    assert len(set(tokens)) == 4
    assert len({form["refresh_token"] for form in provider.refreshes}) == 4
    assert accounts.connection(inside, {"connection": connection})["renewals"] == 4


def test_a_refresh_that_would_kill_a_token_in_use_waits_for_it(
    inside: Keeper, provider: Scripted, clock: Clock, tmp_path: Path
) -> None:
    """An approved payment is on its way with its own token; a read beside it must not end that token."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "killing.yaml").write_text("{extends: harbour, refresh_kills_previous: true}")
    upstreams(inside).catalogue = lambda: load(tmp_path)
    upstreams(inside).timing = Timing(wait=0.2)
    connection = connected(inside, provider, entry="killing")
    own = mint(inside, connection, exclusive=True)
    with pytest.raises(ProviderAway):
        mint(inside, connection)
    grants.end_lease(inside, {"connection": connection, "token_ref": own["token_ref"]})
    assert mint(inside, connection)["token"]
    mint(inside, connection, exclusive=True)
    clock.forward(seconds=301)
    assert mint(inside, connection)["token"]


# -- what a provider may answer ---------------------------------------------------------------------------------------


def test_invalid_grant_is_terminal_and_says_so(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    connection = connected(inside, provider)
    provider.living.clear()
    for _ in range(3):
        with pytest.raises(NeedsConsent) as caught:
            mint(inside, connection)
    assert len(provider.refreshes) == 1
    assert "reconnect" in caught.value.hint.lower()
    assert accounts.connection(inside, {"connection": connection})["status"] == "needs_consent"
    assert stored(inside, connection)["refresh"] is None


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_an_error_of_the_providers_own_costs_nothing_but_a_pause(
    inside: Keeper, provider: Scripted, clock: Clock, status: int
) -> None:
    connection = connected(inside, provider)
    provider.before.append(error(status))
    for _ in range(2):
        with pytest.raises(ProviderAway):
            mint(inside, connection)
    assert len(provider.refreshes) == 1
    clock.forward(seconds=6)
    assert mint(inside, connection)["token"]


def test_a_misconfigured_client_does_not_end_the_grant(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    provider.before.append(error(401, "invalid_client"))
    with pytest.raises(ProviderRefused, match="invalid_client"):
        mint(inside, connection)
    assert mint(inside, connection)["token"]


LOST: dict[str, Fault] = {"hung up": hang_up, "cut off": cut_off, "late": late(6.0)}


def lose(provider: Scripted, how: Fault) -> None:
    """The provider has rotated; its answer does not arrive."""
    provider.after.append(how)


@pytest.fixture
def hasty(inside: Keeper) -> Keeper:
    """Does not wait long for an answer, nor for others."""
    upstreams(inside).transport = Transport(loopback=True, deadline=2.0)
    upstreams(inside).timing = Timing(wait=0.1)
    return inside


@pytest.mark.parametrize("how", LOST.values(), ids=LOST.keys())
def test_after_a_lost_answer_nobody_asks_until_the_claim_runs_out(
    hasty: Keeper, provider: Scripted, clock: Clock, how: Fault
) -> None:
    connection = connected(hasty, provider)
    lose(provider, how)
    for _ in range(3):
        with pytest.raises(ProviderAway):
            mint(hasty, connection)
    assert len(provider.refreshes) == 1


def test_after_a_lost_answer_a_provider_with_grace_answers_the_one_retry(hasty: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.grace = True
    connection = connected(hasty, provider)
    lose(provider, hang_up)
    with pytest.raises(ProviderAway):
        mint(hasty, connection)
    clock.forward(seconds=31)
    assert mint(hasty, connection)["token"]
    assert len(provider.refreshes) == 2


def test_after_a_lost_answer_a_provider_without_grace_ends_it_and_the_person_is_told(
    hasty: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(hasty, provider)
    lose(provider, cut_off)
    with pytest.raises(ProviderAway):
        mint(hasty, connection)
    clock.forward(seconds=31)
    with pytest.raises(NeedsConsent):
        mint(hasty, connection)
    assert len(provider.refreshes) == 2


def test_two_lost_answers_end_it_without_a_third_question(hasty: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.grace = True
    connection = connected(hasty, provider)
    provider.before += [hang_up, hang_up]
    for _ in range(2):
        with pytest.raises(ProviderAway):
            mint(hasty, connection)
        clock.forward(seconds=31)
    with pytest.raises(NeedsConsent) as caught:
        mint(hasty, connection)
    assert len(provider.refreshes) == 2
    assert "lost" in caught.value.hint


def test_a_provider_that_was_away_between_does_not_forget_the_first_loss(hasty: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.grace = True
    connection = connected(hasty, provider)
    provider.before += [hang_up, error(503), hang_up]
    for _ in range(3):
        with pytest.raises(ProviderAway):
            mint(hasty, connection)
        clock.forward(seconds=31)
    with pytest.raises(NeedsConsent):
        mint(hasty, connection)


# -- dying at each point ----------------------------------------------------------------------------------------------


class Dies(BaseException):
    """The process is gone: nothing below this line runs."""


class Mortal(Kv):
    """The real store, of a process that dies at its n-th write: before it, or right after it."""

    def __init__(self, real: Kv, *, write: int, after: bool) -> None:
        self.__dict__.update(real.__dict__)
        self.left, self.after = write, after

    def write(self, path: str, data: Any, cas: int) -> int:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Dies
        version = super().write(path, data, cas)
        if self.left == 0:
            raise Dies
        return version


def another(keeper: KeeperParts, clock: Clock) -> Keeper:
    """The next process on the same volume."""
    made = keeper.inside(clock)
    drain(made)
    return made


@pytest.mark.parametrize(("write", "after"), [(1, True), (2, False), (2, True)], ids=["claimed", "spooled", "written"])
def test_whoever_dies_at_this_point_loses_nothing(
    keeper: KeeperParts, inside: Keeper, provider: Scripted, clock: Clock, write: int, after: bool
) -> None:
    """The provider has no grace: a refresh token asked with twice would end the grant."""
    connection = connected(inside, provider)
    inside.kv = Mortal(inside.kv, write=write, after=after)
    with pytest.raises(Dies):
        mint(inside, connection)
    clock.forward(seconds=31)
    heir = another(keeper, clock)
    assert mint(heir, connection)["token"]
    assert spooled(heir) == []
    expire(heir, clock)
    assert mint(heir, connection)["token"]
    assert accounts.connection(heir, {"connection": connection})["status"] == "active"
    heir.vault.wire.close()


def test_a_spooled_answer_serves_before_anybody_asks_again(
    keeper: KeeperParts, inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    connection = connected(inside, provider)
    inside.kv = Mortal(inside.kv, write=2, after=False)
    with pytest.raises(Dies):
        mint(inside, connection)
    heir = another(keeper, clock)
    assert mint(heir, connection)["token"] == "access-secret-2"
    assert len(provider.refreshes) == 1
    heir.vault.wire.close()


def test_an_answer_that_is_spooled_twice_counts_once(inside: Keeper, provider: Scripted, clock: Clock, tmp_path: Path) -> None:
    connection = connected(inside, provider)
    real = inside.kv
    inside.kv = Mortal(real, write=2, after=True)
    with pytest.raises(Dies):
        mint(inside, connection)
    inside.kv = real
    left = spooled(inside)[0]
    shutil.copy(left, tmp_path / left.name)
    drain(inside)
    expire(inside, clock)
    newer = mint(inside, connection)["token"]
    shutil.copy(tmp_path / left.name, left)
    drain(inside)
    assert mint(inside, connection)["token"] == newer
    assert accounts.connection(inside, {"connection": connection})["renewals"] == 2


def test_an_answer_found_after_the_connection_was_given_up_brings_it_back(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    """Another machine, without this spool, had to give up."""
    connection = connected(inside, provider)
    real = inside.kv
    inside.kv = Mortal(real, write=2, after=False)
    with pytest.raises(Dies):
        mint(inside, connection)
    inside.kv = real
    mine = upstreams(inside).spool
    upstreams(inside).spool = type(mine)(mine.folder.with_name("elsewhere"))
    clock.forward(seconds=31 + 60 * inside.settings.lost_volume_minutes)
    with pytest.raises(NeedsConsent):
        mint(inside, connection)
    upstreams(inside).spool = mine
    assert mint(inside, connection)["token"]


def test_an_answer_found_after_a_disconnect_is_revoked_as_well(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    connection = connected(inside, provider)
    real = inside.kv
    inside.kv = Mortal(real, write=2, after=False)
    with pytest.raises(Dies):
        mint(inside, connection)
    inside.kv = real
    accounts.disconnect(inside, {"connection": connection, "person": OWNER})
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert provider.living == set()
    assert "refresh-secret-2" in {form["token"] for form in provider.revoked}


def test_a_disconnect_while_the_provider_answers_hands_out_nothing(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    provider.after.append(then(lambda: accounts.disconnect(inside, {"connection": connection, "person": OWNER})))
    with pytest.raises(Disconnected):
        mint(inside, connection)
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert provider.living == set()


def test_a_torn_spool_file_is_set_aside(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    mint(inside, connection)
    folder = upstreams(inside).spool.folder
    (folder / f"{connection}.99").write_bytes(b"torn")
    drain(inside)
    assert [path.name for path in folder.glob(f"{connection}*")] == [f"{connection}.99.unreadable"]
    (folder / f"{connection}.99.unreadable").unlink()


def test_the_spool_holds_no_token_in_clear_and_is_readable_by_its_owner_alone(inside: Keeper, provider: Scripted) -> None:
    connection = connected(inside, provider)
    real = inside.kv
    inside.kv = Mortal(real, write=2, after=False)
    with pytest.raises(Dies):
        mint(inside, connection)
    [left] = spooled(inside)
    assert b"secret" not in left.read_bytes()
    assert left.stat().st_mode & 0o077 == 0
    assert left.parent.stat().st_mode & 0o077 == 0
    inside.kv = real
    drain(inside)


def worker(parts: KeeperParts) -> int:
    """gunicorn's worker: it serves the door. Its parent starts another when it dies."""
    return int(psutil.Process(parts.keeper_pid).children()[0].pid)


def kill_worker(parts: KeeperParts) -> None:
    os.kill(worker(parts), signal.SIGKILL)


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_9_of_the_keeper_while_the_provider_is_asked(
    keeper: KeeperParts, provider: Scripted, clock: Clock, when: str
) -> None:
    """Killed when the provider has heard (before it did anything, or after it rotated): never two refreshes at once, and with a
    grace period nothing is lost."""
    provider.grace = True
    heir = keeper.inside(clock)
    connection = connected(heir, provider)
    getattr(provider, when).append(then(lambda: kill_worker(keeper)))
    with pytest.raises(KeeperAway):
        keeper.door.mint(connection=connection, person=OWNER, scopes=["accounts:read"], receiver="bank", cap=300)
    assert stored(heir, connection)["claim"] is not None
    until(lambda: keeper.door.status().keeper == "ready", "the keeper is back")
    clock.forward(seconds=40)
    assert mint(heir, connection)["token"]
    assert len(provider.refreshes) == 2
    heir.vault.wire.close()


def test_kill_9_while_the_vault_does_not_take_the_answer(keeper: KeeperParts, provider: Scripted, clock: Clock) -> None:
    """The vault freezes when the provider answers, so the answer is spooled and no further; then the keeper is killed. The
    next one finds it at its start. The provider has no grace."""
    heir = keeper.inside(clock)
    connection = connected(heir, provider)
    assert keeper._vault is not None
    frozen = keeper._vault.pid
    folder = keeper.instance / "keeper" / "spool"
    provider.after.append(then(lambda: freeze(frozen)))

    def strike() -> None:
        until(lambda: any(folder.glob(f"{connection}.*")), "the answer is spooled")
        kill_worker(keeper)
        os.kill(frozen, signal.SIGCONT)

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises((KeeperAway, VaultAway)):
        keeper.door.mint(connection=connection, person=OWNER, scopes=["accounts:read"], receiver="bank", cap=300)
    thread.join(90)
    until(lambda: keeper.door.status().vault == "ready", "both are back")
    until(lambda: not any(folder.glob(f"{connection}.*")), "the spool was drained")
    minted = keeper.door.mint(connection=connection, person=OWNER, scopes=["accounts:read"], receiver="bank", cap=300)
    assert minted.token.reveal() == "access-secret-2"
    assert len(provider.refreshes) == 1
    heir.vault.wire.close()


# -- the vault away ---------------------------------------------------------------------------------------------------


def test_with_the_vault_away_a_code_is_not_spent(keeper: KeeperParts, provider: Scripted) -> None:
    inside = keeper.inside()
    connection = connected(inside, provider)
    other = name_of("con")
    asked = len(provider.codes)
    begun = connecting.connect_begin(
        inside, {"provider": "harbour", "person": OWNER, "redirect_uri": "http://x", "scopes": ["accounts:read"]}
    )
    keeper.stop_vault()
    try:
        for attempt in (
            lambda: mint(inside, connection),
            lambda: connecting.connect_finish(inside, {
                "connection": other, "person": OWNER, "sealed": begun["sealed"], "state": begun["state"], "code": "c",
                "iss": provider.url,
            }),
        ):
            with pytest.raises(VaultAway):
                attempt()
        assert len(provider.codes) == asked
        assert provider.refreshes == []
    finally:
        keeper.start_vault()
    assert mint(inside, connection)["token"]
    finish(inside, provider, other)
    with pytest.raises(ScopeRefused):
        mint(inside, other, scopes=("unheard:of",))
    inside.vault.wire.close()


def test_the_claim_outlives_the_longest_exchange(inside: Keeper) -> None:
    ours = upstreams(inside)
    assert ours.timing.claim > timedelta(seconds=2 * ours.transport.deadline)
