"""A key of the web process's own, derived by the keeper for one purpose; in several generations while older ones verify."""

from __future__ import annotations

import threading
import time
from datetime import datetime

from vault.door import AppKey, Door
from vault.errors import KeeperError
from vault.secret import Secret

KEPT = 60.0
"""Seconds for which the generations are believed without asking again; a new one signs minutes after it can be known."""


class AppKeys:
    """Asked for when first needed and then once a minute; while the keeper is away, those that are known go on."""

    def __init__(self, door: Door, purpose: str) -> None:
        self._door, self._purpose = door, purpose
        self._known: tuple[AppKey, ...] = ()
        self._asked = float("-inf")
        self._lock = threading.Lock()

    def current(self, now: datetime) -> Secret[bytes]:
        """What to sign and seal with. Raises KeeperError where none is known yet and the keeper is away."""
        known = self.known(now)
        return next((one for one in reversed(known) if one.used_from <= now), known[0]).key

    def all(self, now: datetime) -> list[Secret[bytes]]:
        """What to verify and open with: that one first, also those that are not yet used. Raises KeeperError."""
        first = self.current(now)
        return [first, *(one.key for one in reversed(self.known(now)) if one.key != first)]

    def known(self, now: datetime) -> list[AppKey]:
        with self._lock:
            known, stale = self._known, time.monotonic() - self._asked > KEPT
            if stale:
                self._asked = time.monotonic()  # one asks; the others go on with what there is
        if stale or not known:
            known = self._ask(known)
        return [one for one in known if one.until is None or one.until > now] or list(known[-1:])

    def _ask(self, known: tuple[AppKey, ...]) -> tuple[AppKey, ...]:
        try:
            found = self._door.app_keys(self._purpose)
        except KeeperError:
            if not known:
                raise
            return known
        with self._lock:
            self._known = found
        return found
