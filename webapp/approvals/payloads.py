"""Arguments and results at rest: AES-256-GCM under a key of its own for each, wrapped by an hourly key that the keeper hands out.

Associated data is action id, direction and the envelope's digest, so that a ciphertext moved to another row, or to the other
direction, does not open.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from weakref import WeakKeyDictionary

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import Session

from vault.door import Door, WrappingKey
from vault.evidence import canonical
from webapp.approvals.tables import Payload
from webapp.errors import Unavailable
from webapp.ids import new_id
from webapp.web.house import House

Direction = Literal["request", "result"]

KEPT = 48
"""Hourly keys held in memory at most: two days of them."""
FRESH = timedelta(minutes=5)
NONCE = 12


class Tampered(Unavailable):
    """What is stored is not what was sealed. Nothing that rests on it is shown as true, decided or run."""

    default = "tampered"


class Keys:
    """Hourly keys, kept in memory and bounded; the oldest goes first."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, WrappingKey] = OrderedDict()
        self._current: tuple[datetime, WrappingKey] | None = None
        self._lock = threading.Lock()

    def current(self, door: Door, now: datetime) -> WrappingKey:
        with self._lock:
            kept = self._current
        if kept is not None and timedelta() <= now - kept[0] < FRESH:
            return kept[1]
        key = door.wrapping_key()
        with self._lock:
            self._current = (now, key)
        self._keep(key)
        return key

    def named(self, door: Door, wrapped: str) -> WrappingKey:
        with self._lock:
            if wrapped in self._known:
                self._known.move_to_end(wrapped)
                return self._known[wrapped]
        key = door.unwrap(wrapped)
        self._keep(key)
        return key

    def _keep(self, key: WrappingKey) -> None:
        with self._lock:
            self._known[key.wrapped] = key
            while len(self._known) > KEPT:
                self._known.popitem(last=False)


_keys: WeakKeyDictionary[Door, Keys] = WeakKeyDictionary()
_keys_lock = threading.Lock()


def keys_of(door: Door) -> Keys:
    with _keys_lock:
        return _keys.setdefault(door, Keys())


@dataclass(frozen=True)
class Sealer:
    """Seals without asking anyone: taken before a transaction, used inside it."""

    key: WrappingKey
    action: str = ""
    """The id of what is about to be held, where its mark was made for it; and that mark."""
    mark: str = ""

    def seal(self, *, action: str, direction: Direction, digest: str, plaintext: bytes) -> Payload:
        bound = _bound(action, direction, digest)
        own = AESGCM.generate_key(256)
        nonce, key_nonce = os.urandom(NONCE), os.urandom(NONCE)
        return Payload(
            action=action, direction=direction, nonce=nonce, ciphertext=AESGCM(own).encrypt(nonce, plaintext, bound),
            key_nonce=key_nonce, key_ciphertext=AESGCM(self.key.key.reveal()).encrypt(key_nonce, own, bound),
            wrapped=self.key.wrapped,
        )


def sealer(house: House) -> Sealer:
    """Raises KeeperError when the vault cannot give this hour's key."""
    return Sealer(keys_of(house.door).current(house.door, house.clock()))


def for_holding(house: House, *, decoy: bool = False) -> Sealer:
    """The same for one call that is about to be held: with its id and the keeper's mark, where decoys are put among the calls.
    Raises KeeperError."""
    made = sealer(house)
    if not (decoy or house.settings.approvals.decoys.on):
        return made
    action = new_id("act")
    return replace(made, action=action, mark=house.door.mark(action, decoy=decoy))


def stored(session: Session, action: str, direction: Direction) -> Payload | None:
    return session.get(Payload, (action, direction))


def open_(house: House, payload: Payload, *, digest: str) -> bytes:
    """The plaintext. Raises Tampered when the row was altered or moved, KeeperError when the vault is away. Not for use in a
    transaction: it may ask the keeper."""
    hourly = keys_of(house.door).named(house.door, payload.wrapped)
    bound = _bound(payload.action, payload.direction, digest)
    try:
        own = AESGCM(hourly.key.reveal()).decrypt(payload.key_nonce, payload.key_ciphertext, bound)
        return AESGCM(own).decrypt(payload.nonce, payload.ciphertext, bound)
    except (InvalidTag, ValueError) as error:
        raise Tampered(
            "The stored document of this action does not verify. It can be neither decided nor run; an operator should look.",
            detail=f"payload {payload.action} {payload.direction}",
        ) from error


def _bound(action: str, direction: str, digest: str) -> bytes:
    return canonical(["counterseal payload v1", action, direction, digest])
