"""A new key for the vault to unseal itself with (`vault.unseal_keys`), while everything else runs. The vault is started anew
twice and is away for some seconds each time: who asks meanwhile is told to ask again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from vault import embedded, unseal_keys
from vault.errors import KeeperError
from webapp.errors import Conflict, Unavailable
from webapp.supervisor import lock
from webapp.supervisor.part import Keeper

PATIENCE = 60.0
"""Seconds until a vault that does not open is started with both keys again."""
SHUT = "The vault did not open with the new key{}. It has both, and opens with either; its log says more. Type this again."


async def replace(instance: Path, vault: Keeper) -> None:
    """Goes on where an earlier one ended. Raises Conflict, Unavailable; then the vault opens with the key that it had."""
    with lock.copying(instance):
        try:
            await _steps(instance, vault)
        except KeeperError as error:
            raise Conflict(error.hint) from error


async def _steps(instance: Path, vault: Keeper) -> None:
    folder = embedded.home(instance)
    if not unseal_keys.unfinished(folder):
        await asyncio.to_thread(unseal_keys.able, instance)
    unseal_keys.begin(folder, datetime.now(UTC))
    if not await vault.restart(PATIENCE):
        raise Unavailable(SHUT.format(" beside the one before"))
    await asyncio.to_thread(unseal_keys.renew, instance)
    unseal_keys.try_alone(folder)
    if not await vault.restart(PATIENCE) or not unseal_keys.alone(folder):
        await vault.restart(PATIENCE)
        raise Unavailable(SHUT.format(" alone"))
    unseal_keys.finish(folder)
