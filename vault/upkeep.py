"""What a keeper does by itself, asked by nobody: its own secret-id, its volume's key, and the overlap of client
secrets."""

from __future__ import annotations

import logging
import threading

from vault import client_secrets, secret_ids, spool_keys
from vault.errors import KeeperError, TooMany, VaultAway, VaultSealed
from vault.table import Keeper

log = logging.getLogger("counterseal.keeper")

LOOK, LATER = 300.0, 3600.0
"""Seconds between two looks; after one that the vault refused."""


def watch(keeper: Keeper, stop: threading.Event) -> None:
    """Until `stop`. Each keeper has a file of its own, and no other process knows of it; the rest any keeper may do."""
    pause = LOOK
    while not stop.wait(pause):
        pause = LOOK
        for look in (secret_ids.by_age, spool_keys.by_age, client_secrets.shred):
            try:
                look(keeper)
            except (TooMany, VaultAway, VaultSealed) as error:
                log.info("%s: looked at again later: %s", look.__module__, error.detail)
            except (KeeperError, OSError) as error:
                log.warning("%s: %s", look.__module__, getattr(error, "detail", type(error).__name__))
                pause = LATER
