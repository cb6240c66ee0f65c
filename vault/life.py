"""Requests that keep the app alive: status, its derived keys, public keys, and the hourly keys that wrap payload keys."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vault.app_keys import APP, derived, said
from vault.errors import BadRequest, VaultAway
from vault.secret import Secret
from vault.table import Body, Keeper, text

PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,39}")


def status(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    state, version = keeper.vault.state()
    return {"keeper": "ready", "vault": state, "version": version, "now": keeper.clock().isoformat()}


def app_key(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.app_key`: of the generation that signs now."""
    purpose = _purpose(body)
    return {"key": base64.b64encode(derived(APP.used(keeper), purpose).reveal()).decode()}


def app_keys(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.app_keys`."""
    purpose = _purpose(body)
    return {"keys": [said(one, purpose, until) for one, until in APP.good(keeper)]}


def _purpose(body: Body) -> str:
    purpose = text(body, "purpose", limit=40)
    if not PURPOSE.fullmatch(purpose):
        raise BadRequest("purpose")
    return purpose


def public_keys(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    found = {name: keeper.transit.public_keys(name) for name in ("authority", "audit")}
    if not all(found.values()):
        raise VaultAway("no signing keys")
    return {name: {str(v): base64.b64encode(key).decode() for v, key in keys.items()} for name, keys in found.items()}


def wrapping_key(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """One transit request an hour; what is wrapped with it stands beside the payload."""
    hour = keeper.clock().replace(minute=0, second=0, microsecond=0)
    kept: tuple[datetime, str, Secret[bytes]] | None = keeper.memory.get("wrapping")
    if kept is None or kept[0] != hour:
        kept = (hour, *keeper.transit.data_key("payload"))
        keeper.memory["wrapping"] = kept
    return {"wrapped": kept[1], "key": base64.b64encode(kept[2].reveal()).decode()}


def unwrap(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """The transit key `payload` encrypts wrapping keys and nothing else, so this can open nothing else."""
    wrapped = text(body, "wrapped", limit=512)
    key = keeper.transit.decrypt("payload", wrapped)
    return {"wrapped": wrapped, "key": base64.b64encode(key.reveal()).decode()}


HANDLERS = {
    "status": status, "app_key": app_key, "app_keys": app_keys, "public_keys": public_keys, "wrapping_key": wrapping_key,
    "unwrap": unwrap,
}
