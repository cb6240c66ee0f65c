"""How old the secrets are that the keeper uses. Names and times; never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from vault.table import Body, Keeper

KEYS = ("payload", "authority", "audit")
CLIENTS = (("providers", "provider"), ("idps", "idp"))
MOST = 1000


def ages(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    found = [*_keys(keeper), *_clients(keeper), *_login(keeper)]
    return {"secrets": [{"kind": kind, "name": name, "since": since.isoformat()} for kind, name, since in found]}


def _keys(keeper: Keeper) -> Iterator[tuple[str, str, datetime]]:
    """Of each transit key the version that is used now."""
    for name in KEYS:
        data = (keeper.vault.read(f"{keeper.settings.prefix}transit/keys/{name}") or {}).get("data") or {}
        made = (data.get("keys") or {}).get(str(data.get("latest_version")))
        if made is not None:
            yield "key", name, _time(made["creation_time"] if isinstance(made, dict) else made)


def _clients(keeper: Keeper) -> Iterator[tuple[str, str, datetime]]:
    """Client secrets at providers and identity providers: when each was last stored."""
    mount = f"{keeper.settings.prefix}kv/metadata"
    for folder, kind in CLIENTS:
        for name in keeper.kv.list(folder)[:MOST]:
            data = (keeper.vault.read(f"{mount}/{folder}/{name}") or {}).get("data") or {}
            if data.get("updated_time"):
                yield kind, name, _time(data["updated_time"])


def _login(keeper: Keeper) -> Iterator[tuple[str, str, datetime]]:
    """The file that the keeper logs in with, where it is an AppRole's."""
    settings = keeper.settings
    path = settings.secret_id_file or settings.instance / "vault" / "secret-id"
    if settings.auth == "approle" and path.is_file():
        kind = "secret-id" if settings.vault_address else "own-secret-id"
        yield kind, settings.role_id, datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _time(value: str | float) -> datetime:
    """Symmetric keys have seconds since the epoch, all else RFC 3339 with nanoseconds."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value[:19]).replace(tzinfo=UTC) if value.endswith("Z") else datetime.fromisoformat(value)


HANDLERS = {"ages": ages}
