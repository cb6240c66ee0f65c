"""Keys that the keeper makes itself and keeps in the vault, in generations. A new one is a record of its own beside those before
(`app/keys`, `app/keys-2`, …), made once and never changed: the keeper's policy lets nobody take one back.

A new generation is used five minutes after it was made, when every process knows it; the one before is good for as long as
anything lives that it signed or sealed, and from then on for nothing.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.authority import KEYS_KEPT, LEAD
from vault.errors import TooMany, VaultAway
from vault.said import said
from vault.secret import Secret
from vault.table import Keeper, random_once


@dataclass(frozen=True)
class Generation:
    version: int
    root: Secret[bytes]
    made: datetime

    @property
    def used_from(self) -> datetime:
        return self.made if self.version == 1 else self.made + LEAD


@dataclass(frozen=True)
class Roots:
    """`name` is what people call it, `held` how long a generation is good after the next one came into use, `seldom` the time
    between two on demand."""

    name: str
    path: str
    held: timedelta
    seldom: timedelta

    def all(self, keeper: Keeper) -> list[Generation]:
        """The oldest first. What was made does not change, so only the next one is looked for, once a minute."""
        now = keeper.clock()
        at, found = keeper.memory.get(self.path, (None, []))
        if at is None or (now - at).total_seconds() > KEYS_KEPT:
            found = list(found)
            while (one := self._read(keeper, len(found) + 1)) is not None:
                found.append(one)
            if not found:
                random_once(keeper, self.path)
                found = [one for one in (self._read(keeper, 1),) if one is not None]
            keeper.memory[self.path] = (now, found)
        if not found:
            raise VaultAway(f"{self.path} was written and is not there")
        return list(found)

    def latest(self, keeper: Keeper) -> Generation:
        """As the vault has it now."""
        keeper.memory.pop(self.path, None)
        return self.all(keeper)[-1]

    def rotate(self, keeper: Keeper) -> Generation:
        """Raises TooMany within `seldom` of the last."""
        newest = self.latest(keeper)
        age = keeper.clock() - newest.made
        if newest.version > 1 and age < self.seldom:
            hint = said("%(name)s was rotated within the last hour.", name=self.name)
            if self.seldom >= timedelta(days=1):
                hint = said("%(name)s was rotated within the last day.", name=self.name)
            raise TooMany(f"{self.name}: version {newest.version} is {age} old", hint=hint)
        key = base64.b64encode(os.urandom(32)).decode()
        keeper.kv.create(f"{self.path}-{newest.version + 1}", {"key": key, "made": keeper.clock().isoformat()})
        return self.latest(keeper)

    def good(self, keeper: Keeper) -> list[tuple[Generation, datetime | None]]:
        """Those that may still verify or open, the oldest first; and until when each does, None for the newest."""
        found = self.all(keeper)
        ends: list[datetime | None] = [*(after.used_from + self.held for after in found[1:]), None]
        return [(one, end) for one, end in zip(found, ends, strict=True) if end is None or end > keeper.clock()]

    def used(self, keeper: Keeper) -> Generation:
        """The one that signs or seals now."""
        found = self.all(keeper)
        return next((one for one in reversed(found) if one.used_from <= keeper.clock()), found[0])

    def _read(self, keeper: Keeper, version: int) -> Generation | None:
        found = keeper.kv.read(self.path if version == 1 else f"{self.path}-{version}")
        if found is None:
            return None
        root, made = Secret(base64.b64decode(found.data["key"])), found.data.get("made")
        return Generation(version, root, datetime.fromisoformat(made) if made else _born(keeper))


def _born(keeper: Keeper) -> datetime:
    """Of a first generation that does not say when it was made: the vault's own keys were made with it."""
    made = keeper.transit.versions("payload").made
    return min(made.values()) if made else keeper.clock()


SEALS = Roots("keeper", "keeper/seal", held=timedelta(hours=1), seldom=timedelta(hours=1))
"""What `Keeper.seal` seals with. The longest-lived of it is the beginning of a sign-in or of a connection: 15 minutes."""
WAITING = timedelta(days=400)
"""Longer than any held call waits."""
MARKS = Roots("marks", "keeper/marks", held=WAITING, seldom=timedelta(hours=1))
"""What tells calls that somebody asked for from decoys (`vault.marks`): a mark says the same for as long as its call waits."""
MATCH = Roots("match", "keeper/match", held=WAITING, seldom=timedelta(hours=1))
"""What the numbers on agents' screens are made with (`vault.matching`)."""
CHANNELS = Roots("channels", "keeper/channels", held=timedelta(days=3651), seldom=timedelta(hours=1))
"""What channels' addresses are sealed with (`vault.notices`), for as long as a channel is kept."""
PUSH = Roots("push", "keeper/push", held=timedelta(0), seldom=timedelta(days=1))
"""By what push services know this installation (`vault.notices`). Browsers bind their subscription to one: no overlap helps."""
