"""The authority for client certificates, as a file that gunicorn and nginx read: `<instance>/run/client-ca.pem`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from vault.door import Door
from vault.errors import KeeperAway, VaultAway, VaultSealed
from webapp.config import Settings

log = logging.getLogger("counterseal")


def path(settings: Settings) -> Path:
    return settings.instance / "run" / "client-ca.pem"


def write(settings: Settings) -> Path:
    """Ask the keeper and write the file. Where the keeper is away and the file is there, that one is kept: the authority changes
    when an operator changes it. Raises the keeper's errors where there is neither."""
    target = path(settings)
    door = Door(settings.socket, timeout=settings.door_timeout)
    try:
        pem = door.client_ca()
    except (KeeperAway, VaultAway, VaultSealed) as error:
        if not target.exists():
            raise
        log.warning("the authority for client certificates is the one of the last start: %s", error.hint)
        return target
    finally:
        door.close()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    part.write_text(pem)
    part.replace(target)
    return target
