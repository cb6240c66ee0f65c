"""The roots of the keys that the web process has itself (`Door.app_keys`): cookies, forms, `requestState`. A new generation is a
record of its own beside those before (`app/keys`, `app/keys-2`, …), made once and never changed: the keeper's policy lets nobody
take one back.

A new generation signs five minutes after it was made, when every process knows it; the one before verifies for as long as
anything lives that it signed, and from then on is handed to nobody.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.authority import KEYS_KEPT, LEAD
from vault.errors import TooMany, VaultAway
from vault.secret import Secret
from vault.table import Keeper, random_once

PATH = "app/keys"
HELD = timedelta(days=32)
"""After the next one began to sign. The longest-lived that is signed is Flask's cookie, with the token of the forms: 31 days."""
SELDOM = timedelta(days=1)
"""Between two on demand: each process tries all that are held."""


@dataclass(frozen=True)
class Generation:
    version: int
    root: Secret[bytes]
    made: datetime

    @property
    def used_from(self) -> datetime:
        return self.made if self.version == 1 else self.made + LEAD


def generations(keeper: Keeper) -> list[Generation]:
    """All of them, the oldest first. What was made does not change, so only the next one is looked for, once a minute."""
    now = keeper.clock()
    at, found = keeper.memory.get(PATH, (None, []))
    if at is None or (now - at).total_seconds() > KEYS_KEPT:
        found = list(found)
        while (one := _read(keeper, len(found) + 1)) is not None:
            found.append(one)
        if not found:
            random_once(keeper, PATH)
            found = [one for one in (_read(keeper, 1),) if one is not None]
        keeper.memory[PATH] = (now, found)
    if not found:
        raise VaultAway(f"{PATH} was written and is not there")
    return list(found)


def _read(keeper: Keeper, version: int) -> Generation | None:
    found = keeper.kv.read(PATH if version == 1 else f"{PATH}-{version}")
    if found is None:
        return None
    root, made = Secret(base64.b64decode(found.data["key"])), found.data.get("made")
    return Generation(version, root, datetime.fromisoformat(made) if made else _born(keeper))


def _born(keeper: Keeper) -> datetime:
    """Of a first generation that does not say when it was made: the vault's own keys were made with it."""
    made = keeper.transit.versions("payload").made
    return min(made.values()) if made else keeper.clock()


def latest(keeper: Keeper) -> Generation:
    """As the vault has it now."""
    keeper.memory.pop(PATH, None)
    return generations(keeper)[-1]


def rotate(keeper: Keeper) -> Generation:
    """Raises TooMany within a day of the last."""
    newest = latest(keeper)
    age = keeper.clock() - newest.made
    if newest.version > 1 and age < SELDOM:
        raise TooMany(f"app: version {newest.version} is {age} old", hint="app was rotated within the last day.")
    key = base64.b64encode(os.urandom(32)).decode()
    keeper.kv.create(f"{PATH}-{newest.version + 1}", {"key": key, "made": keeper.clock().isoformat()})
    return latest(keeper)


def held(keeper: Keeper) -> list[tuple[Generation, datetime | None]]:
    """Those that may still verify, the oldest first; and until when each does, None for the newest."""
    found = generations(keeper)
    ends: list[datetime | None] = [*(after.used_from + HELD for after in found[1:]), None]
    return [(one, end) for one, end in zip(found, ends, strict=True) if end is None or end > keeper.clock()]


def used(keeper: Keeper) -> Generation:
    """The one that signs now."""
    found = generations(keeper)
    return next((one for one in reversed(found) if one.used_from <= keeper.clock()), found[0])


def derived(one: Generation, purpose: str) -> Secret[bytes]:
    """From a root that is used for nothing else: no purpose, however chosen, yields a key of the keeper's own."""
    info = b"counterseal/app/v1/" + purpose.encode()
    return Secret(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(one.root.reveal()))


def said(one: Generation, purpose: str, until: datetime | None) -> Mapping[str, Any]:
    return {
        "version": one.version, "key": base64.b64encode(derived(one, purpose).reveal()).decode(),
        "used_from": one.used_from.isoformat(), "until": until.isoformat() if until is not None else None,
    }
