"""The authorities for client certificates, as a file that gunicorn and nginx read: `<instance>/run/client-ca.pem`; and in the
servers that run, which learn of a new one long before it signs."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from vault.door import Door
from vault.errors import KeeperAway, KeeperError, VaultAway, VaultSealed
from webapp.config import Settings

log = logging.getLogger("counterseal")


def path(settings: Settings) -> Path:
    return settings.instance / "run" / "client-ca.pem"


def write(settings: Settings) -> Path:
    """Ask the keeper and write the file. Where the keeper is away and the file is there, that one is kept: `follow` asks again.
    Raises the keeper's errors where there is neither."""
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
    _put(target, pem)
    return target


def _put(target: Path, pem: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    part.write_text(pem)
    part.replace(target)


def follow(door: Door, settings: Settings, contexts: Sequence[ssl.SSLContext], seen: str) -> str:
    """One look: what is believed now goes to the file, and into the contexts of a server that runs, beside what they believed
    before. What is no longer believed stays in them until the next start; the app refuses it. Answers what was seen; where the
    keeper is away, what had been."""
    try:
        pem = door.client_ca(fresh=True)
    except KeeperError as error:
        log.info("the authorities for client certificates are looked at again later: %s", error.detail)
        return seen
    if pem == seen:
        return seen
    target = path(settings)
    if not target.exists() or target.read_text() != pem:
        _put(target, pem)
    for context in contexts:
        context.load_verify_locations(cadata=pem)
    return pem
