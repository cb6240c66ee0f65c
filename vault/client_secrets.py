"""Client secrets at providers and identity providers, replaced with an overlap: the new one is tried first, and where the
provider does not know it (yet), those before it, newest first, until the overlap ends (`vault.upstream`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vault.errors import BadRequest, NotKnown
from vault.secret import Secret
from vault.table import Body, Keeper, number, secret, segment, text

log = logging.getLogger("counterseal.keeper")

FOLDERS = {"provider": "providers", "idp": "idps"}
LONGEST = timedelta(days=30)
SHORTEST = timedelta(minutes=10)
"""Longer than any exchange that has begun with the old one."""
KEPT = 2
"""Secrets before the newest one. Who gives a wrong one and then the right one still has the one that works."""
LENGTH = 4096


@dataclass(frozen=True)
class Before:
    value: Secret[str]
    until: datetime


def before(record: Mapping[str, Any], now: datetime) -> tuple[Before, ...]:
    """Those that may still be tried, the newest first."""
    kept = record.get("secrets_before") or ()
    found = (Before(Secret(str(one["value"])), datetime.fromisoformat(one["until"])) for one in kept)
    return tuple(one for one in found if one.until > now)


def put(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.client_secret_put`. The provider is not asked: whether it knows the secret shows with the next request there."""
    path, fresh = _path(body), secret(body, "secret", limit=LENGTH)
    overlap, now = timedelta(seconds=number(body, "overlap")), keeper.clock()
    if not SHORTEST <= overlap <= LONGEST:
        raise BadRequest("overlap", hint="The overlap is between 10 minutes and 30 days.")
    if not fresh.reveal().isprintable() or fresh.reveal() != fresh.reveal().strip():
        raise BadRequest("not a secret", hint="That is not a client secret: it is one line, without blanks around it.")
    until = now + overlap

    def change(record: dict[str, Any] | None) -> tuple[dict[str, Any], None]:
        return _replaced(_there(record, path), fresh, now, until), None

    keeper.kv.update(path, change)
    log.info("client secret replaced: %s, overlap until %s", path, until.isoformat())
    return {"until": until.isoformat()}


def _replaced(record: dict[str, Any], fresh: Secret[str], now: datetime, until: datetime) -> dict[str, Any]:
    used = str(record.get("client_secret") or "")
    if fresh.reveal() == used:
        raise BadRequest("the same", hint="That is the secret that is in use already.")
    kept = [{"value": one.value.reveal(), "until": one.until.isoformat()} for one in before(record, now) if one.value != fresh]
    if used:
        kept.insert(0, {"value": used, "until": until.isoformat()})
    return {**record, "client_secret": fresh.reveal(), "secret_at": now.isoformat(), "secrets_before": kept[:KEPT]}


def end(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.client_secret_end`."""
    path = _path(body)

    def change(record: dict[str, Any] | None) -> tuple[dict[str, Any], bool]:
        found = _there(record, path)
        return {key: value for key, value in found.items() if key != "secrets_before"}, bool(found.get("secrets_before"))

    ended = keeper.kv.update(path, change)
    log.info("client secret's overlap ended: %s", path)
    return {"ended": ended}


def shred(keeper: Keeper) -> None:
    """Those whose overlap is over are in no record any more. Safe to repeat, in any keeper. Raises the vault's errors."""
    for folder in FOLDERS.values():
        for name in keeper.kv.list(folder):
            _shred(keeper, f"{folder}/{name}", keeper.clock())


def _shred(keeper: Keeper, path: str, now: datetime) -> None:
    def change(record: dict[str, Any] | None) -> tuple[dict[str, Any], None]:
        return _without(_there(record, path), now), None

    found = keeper.kv.read(path)
    if found is not None and len(before(found.data, now)) < len(found.data.get("secrets_before") or ()):
        keeper.kv.update(path, change)


def _without(record: dict[str, Any], now: datetime) -> dict[str, Any]:
    kept = [{"value": one.value.reveal(), "until": one.until.isoformat()} for one in before(record, now)]
    left = {key: value for key, value in record.items() if key != "secrets_before"}
    return {**left, "secrets_before": kept} if kept else left


def _path(body: Body) -> str:
    kind = text(body, "kind", limit=20)
    if kind not in FOLDERS:
        raise BadRequest("kind")
    return f"{FOLDERS[kind]}/{segment(body, 'name')}"


def _there(record: dict[str, Any] | None, path: str) -> dict[str, Any]:
    if record is None or not record.get("client_id"):
        raise NotKnown(path, hint="Nothing of this name has a client here.")
    return record


HANDLERS = {"client_secret_put": put, "client_secret_end": end}
