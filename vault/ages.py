"""How old the secrets are that the keeper uses. Names and times; never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from vault.table import Body, Keeper
from vault.transit import made_at

KEYS = ("payload", "authority", "audit")
CLIENTS = (("providers", "provider"), ("idps", "idp"))
MOST = 1000


def ages(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    found = [*_keys(keeper), *_clients(keeper), *_login(keeper)]
    return {"secrets": [{"kind": kind, "name": name, "since": since.isoformat()} for kind, name, since in found]}


def _keys(keeper: Keeper) -> Iterator[tuple[str, str, datetime]]:
    """Of each transit key the version that is used now."""
    for name in KEYS:
        made = keeper.transit.versions(name).made
        if made:
            yield "key", name, made[max(made)]


def _clients(keeper: Keeper) -> Iterator[tuple[str, str, datetime]]:
    """Client secrets at providers and identity providers: when each was last stored."""
    mount = f"{keeper.settings.prefix}kv/metadata"
    for folder, kind in CLIENTS:
        for name in keeper.kv.list(folder)[:MOST]:
            data = (keeper.vault.read(f"{mount}/{folder}/{name}") or {}).get("data") or {}
            if data.get("updated_time"):
                yield kind, name, made_at(data["updated_time"])


def _login(keeper: Keeper) -> Iterator[tuple[str, str, datetime]]:
    """The file that the keeper logs in with, where it is an AppRole's."""
    settings = keeper.settings
    path = settings.secret_id_file or settings.instance / "vault" / "secret-id"
    if settings.auth == "approle" and path.is_file():
        kind = "secret-id" if settings.vault_address else "own-secret-id"
        yield kind, settings.role_id, datetime.fromtimestamp(path.stat().st_mtime, UTC)


HANDLERS = {"ages": ages}
