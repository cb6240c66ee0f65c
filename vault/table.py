"""The keeper's object and what a request handler is; and how a handler reads its request."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vault.client import Vault
from vault.errors import BadRequest, VaultAway
from vault.kv import Kv
from vault.seal import Seal
from vault.secret import Secret
from vault.settings import Settings
from vault.transit import Transit

Body = Mapping[str, Any]
SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Keeper:
    """What every handler is given. `clock` is injected; nothing else in the keeper asks the time."""

    settings: Settings
    vault: Vault
    kv: Kv
    transit: Transit
    clock: Callable[[], datetime] = utc_now
    memory: dict[str, Any] = field(default_factory=dict, repr=False)
    """What may be forgotten at any time: caches, by the name of the module that keeps them."""

    @property
    def seal(self) -> Seal:
        """Under a key of the keeper's own, the same in every keeper process. Raises VaultAway, VaultSealed."""
        from vault.roots import SEALS

        used = SEALS.used(self)
        return Seal(used.root, *(one.root for one, _ in reversed(SEALS.good(self)) if one != used))


Handler = Callable[[Keeper, Body], Mapping[str, Any]]
Handlers = Mapping[str, Handler]


def make(settings: Settings, clock: Callable[[], datetime] = utc_now) -> Keeper:
    vault = session(settings)
    kv = Kv(vault, settings.prefix + "kv")
    return Keeper(settings, vault, kv, Transit(vault, settings.prefix + "transit"), clock)


def session(settings: Settings) -> Vault:
    """Raises BadSettings for certificates that cannot be used."""
    return Vault(
        settings.address, login=settings.login(), timeout=settings.timeout, namespace=settings.namespace, tls=settings.tls
    )


def random_once(keeper: Keeper, path: str) -> Secret[bytes]:
    """32 random bytes, made by whoever asks first and the same for all from then on."""
    found = keeper.kv.read(path)
    if found is None:
        made = {"key": base64.b64encode(os.urandom(32)).decode(), "made": keeper.clock().isoformat()}
        keeper.kv.create(path, made)
        found = keeper.kv.read(path)
    if found is None:
        raise VaultAway(f"{path} was written and is not there")
    return Secret(base64.b64decode(found.data["key"]))


def text(body: Body, name: str, *, limit: int = 4096, optional: bool = False) -> str:
    value = body.get(name, "" if optional else None)
    if not isinstance(value, str) or len(value) > limit or not (value or optional):
        raise BadRequest(f"{name} is not a text of 1 to {limit} characters")
    return value


def secret(body: Body, name: str, *, limit: int = 8192) -> Secret[str]:
    return Secret(text(body, name, limit=limit))


def segment(body: Body, name: str) -> str:
    """An id that becomes one segment of a path in the vault: it must not reach beside its place."""
    value = text(body, name, limit=128)
    if not SEGMENT.fullmatch(value):
        raise BadRequest(f"{name} is not an id")
    return value


def number(body: Body, name: str, *, most: int = 2**53) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadRequest(f"{name} is not a number from 0 to {most}")
    return value


def flag(body: Body, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} is not true or false")
    return value


def mapping(body: Body, name: str) -> dict[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise BadRequest(f"{name} is not an object")
    return value


def strings(body: Body, name: str, *, most: int = 200, optional: bool = False) -> tuple[str, ...]:
    value = body.get(name, [] if optional else None)
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) and len(one) <= 4096 for one in value):
        raise BadRequest(f"{name} is not a list of texts")
    return tuple(value)


def raw(body: Body, name: str, *, limit: int = 65536) -> bytes:
    return _decoded(text(body, name, limit=limit), name)


def raws(body: Body, name: str, *, most: int) -> list[bytes]:
    return [_decoded(one, name) for one in strings(body, name, most=most)]


def _decoded(value: str, name: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{name} is not base64") from error
