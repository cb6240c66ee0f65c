"""The key that the own OpenBao opens itself with is replaced; whatever dies in the middle leaves a vault that opens."""

from __future__ import annotations

import asyncio
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.keeper_parts import KeeperParts, serve, until
from tests.processes import ended
from vault import embedded, unseal_keys
from vault.client import Vault
from vault.errors import KeeperError, TooMany
from vault.settings import Settings
from vault.table import random_once
from webapp.supervisor import unsealing


def killed(parts: KeeperParts) -> None:
    """As a machine that loses power, and the next start."""
    assert parts._vault
    parts._vault.kill()
    parts._vault.wait()
    again(parts)


def again(parts: KeeperParts) -> None:
    parts.stop_vault()
    embedded.prepare(parts.instance)
    parts.start_vault()


def opens(parts: KeeperParts, kept: bytes) -> None:
    keeper = parts.inside()
    assert random_once(keeper, "app/kept").reveal() == kept
    keeper.vault.wire.close()


def test_wherever_it_dies_the_vault_opens_and_at_the_end_with_the_new_key_alone() -> None:
    with serve(evaluation=True, start=False) as parts:
        folder = embedded.home(parts.instance)
        parts.start_vault()
        kept, old = random_once(parts.inside(), "app/kept").reveal(), (folder / "seal.key").read_bytes()
        unseal_keys.begin(folder, datetime.now(UTC))
        killed(parts)  # after the new key was written: it seals from here on, the old one opens
        opens(parts, kept)
        unseal_keys.begin(folder, datetime.now(UTC))
        assert [number for number, _ in unseal_keys.keys(folder)] == [1, 2], "what was begun is gone on with"
        unseal_keys.renew(parts.instance)
        killed(parts)  # after the root key was sealed with it
        opens(parts, kept)
        unseal_keys.try_alone(folder)
        again(parts)
        assert unseal_keys.alone(folder)
        opens(parts, kept)
        killed(parts)  # before the old one was removed: both again
        assert not unseal_keys.alone(folder)
        unseal_keys.finish(folder)
        killed(parts)
        assert unseal_keys.alone(folder)
        opens(parts, kept)
        assert [path.name for path in folder.glob("seal*")] == ["seal-2.key"]
        with pytest.raises(TooMany):
            unseal_keys.begin(folder, datetime.now(UTC))
        parts.stop_vault()
        (folder / "seal-2.key").rename(folder / "gone")
        (folder / "seal.key").write_bytes(old)
        embedded.prepare(parts.instance)
        _stays_shut(parts)


def _stays_shut(parts: KeeperParts) -> None:
    """The old key opens nothing any more: OpenBao gives up, or says that it is sealed."""
    with parts.log.open("ab") as log:
        process = subprocess.Popen(
            embedded.command(parts.instance), env=embedded.environment(parts.instance), stdout=log, stderr=log
        )
    settings = Settings(parts.instance)
    vault = Vault(settings.address, login=settings.login(), timeout=2.0)
    try:
        until(lambda: process.poll() is not None or vault.state()[0] == "sealed", "it is shut")
        assert not embedded.ready(parts.instance)
    finally:
        vault.wire.close()
        ended(process)


def test_the_old_key_alone_tried_too_early_is_no_loss(tmp_path: Path) -> None:
    """What the configuration says at each step; no file is replaced."""
    unseal_keys.first(tmp_path)
    unseal_keys.first(tmp_path)
    assert unseal_keys.block(tmp_path).count("_key_id") == 1
    first = (tmp_path / "seal.key").read_bytes()
    unseal_keys.begin(tmp_path, datetime.now(UTC))
    said = unseal_keys.block(tmp_path)
    assert 'current_key_id = "2"' in said
    assert 'previous_key_id = "1"' in said
    unseal_keys.try_alone(tmp_path)
    assert "previous" not in unseal_keys.block(tmp_path)
    assert "previous" in unseal_keys.block(tmp_path), "for one start"
    assert (tmp_path / "seal.key").read_bytes() == first
    unseal_keys.finish(tmp_path)
    newest = tmp_path / "seal-2.key"
    assert newest.stat().st_mode & 0o077 == 0
    at = datetime.now(UTC) - timedelta(hours=2)
    os.utime(newest, (at.timestamp(), at.timestamp()))
    (tmp_path / "seal-01.key").write_bytes(b"no number of ours")
    unseal_keys.begin(tmp_path, datetime.now(UTC))
    assert [number for number, _ in unseal_keys.keys(tmp_path)] == [2, 3]


def test_a_vault_without_the_role_says_so(keeper: KeeperParts, tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / unseal_keys.ROLE_FILE).write_text("none of its own")
    (tmp_path / "run").symlink_to(keeper.instance / "run")
    assert Settings(tmp_path).address != Settings(keeper.instance).address
    with pytest.raises(KeeperError) as refused:
        unseal_keys.renew(tmp_path)
    assert refused.value.hint


def test_a_rotation_that_could_not_be_finished_is_not_begun(keeper: KeeperParts, tmp_path: Path) -> None:
    """An instance of before there was the role: it would have two keys for ever."""
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / unseal_keys.ROLE_FILE).write_text("none of its own")
    (tmp_path / "run").symlink_to(keeper.instance / "run")
    unseal_keys.first(tmp_path / "vault")
    with pytest.raises(KeeperError) as refused:
        asyncio.run(unsealing._steps(tmp_path, Never()))  # type: ignore[arg-type]
    assert refused.value.hint == unseal_keys.OLD_VAULT
    assert [number for number, _ in unseal_keys.keys(tmp_path / "vault")] == [1]
    unseal_keys.able(keeper.instance)


class Never:
    async def restart(self, _patience: float) -> bool:
        raise AssertionError("the vault is left alone")
