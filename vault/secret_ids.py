"""The keeper's own AppRole secret-id, made anew by the keeper itself: when it is old, when somebody asks, and at once when the
vault no longer knows the one in the file.

issue -> note it beside the file -> log in with it -> keep the old one beside the file -> replace the file -> ten minutes later,
end the old one at the vault. A keeper may die between any two: what it left beside the file is ended by the next look, and what
the file holds never is. It is ended by its value, which other keepers on the role do not share, and the policy lets it end
nothing else (https://openbao.org/api-docs/auth/approle/#destroy-approle-secret-id).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vault.client import Refused
from vault.errors import KeeperError, TooMany
from vault.files import put
from vault.login import AppRole
from vault.reach import read_secret
from vault.said import said
from vault.secret import Secret
from vault.settings import ROLE, Settings
from vault.table import Body, Keeper
from vault.transit import made_at

log = logging.getLogger("counterseal.keeper")

OVERLAP = timedelta(minutes=10)
"""How long the old one still logs in: another process of this keeper may have read the file a moment ago."""
SELDOM = timedelta(hours=1)
MADE_BY = {"made_by": "counterseal"}
OWN = said("never: it lies beside the own vault's key, and is worth no more")
LINK = said("by whoever manages the file: it is a link, which the keeper does not replace")
READ_ONLY = said("by hand: the keeper may not replace the file")
OLD_POLICY = said(
    "by hand: the keeper's policy is older; `counterseal vault policy --hcl | bao policy write %(role)s -`", role=ROLE
)
BY_ITSELF = said("by the keeper, or counterseal rotate secret-id")
TWICE = "The secret-id was replaced within the last hour."
REFUSED = "The vault made a new secret-id and does not let the keeper in with it. The one there was stays in use."


@dataclass(frozen=True)
class Standing:
    """`next` is None where the keeper does not replace it; `how` says by whom, or why not. `known`: the vault knows it."""

    since: datetime
    next: datetime | None
    how: str
    known: bool = True


def path(settings: Settings) -> Path:
    return settings.secret_id_file or settings.instance / "vault" / "secret-id"


def why_not(settings: Settings) -> str:
    """Why the keeper leaves the file as it is, or nothing. Of `auth = "approle"`."""
    if not settings.vault_address:
        return OWN
    file = path(settings)
    if file.is_symlink():
        return LINK
    return "" if os.access(file.parent, os.W_OK | os.X_OK) else READ_ONLY


def standing(keeper: Keeper) -> Standing | None:
    """None where it logs in in another way, or has no file. Raises VaultAway, VaultSealed."""
    settings = keeper.settings
    file = path(settings)
    if settings.auth != "approle" or not file.is_file():
        return None
    written, why = datetime.fromtimestamp(file.stat().st_mtime, UTC), why_not(settings)
    if why:
        return Standing(written, None, why)
    try:
        known = _known(keeper, read_secret(file))
    except Refused:
        return Standing(written, None, OLD_POLICY)
    if known is None:
        return Standing(written, keeper.clock(), BY_ITSELF, known=False)
    since = made_at(str(known["creation_time"]))
    return Standing(since, min(since + timedelta(days=settings.secret_id_days), _half(since, known)), BY_ITSELF)


def _half(since: datetime, known: Mapping[str, Any]) -> datetime:
    """Of its life, where the role gives it one."""
    seconds = int(known.get("secret_id_ttl") or 0)
    return since + timedelta(seconds=seconds / 2) if seconds else datetime.max.replace(tzinfo=UTC)


def rotate(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.rotate_secret_id`."""
    settings = keeper.settings
    if settings.auth != "approle":
        hint = said("The keeper logs in by %(auth)s: it has no secret-id.", auth=settings.auth)
        raise KeeperError(f"auth is {settings.auth}", hint=hint)
    if why := why_not(settings):
        hint = said("The secret-id is replaced %(why)s.", why=why)
        raise KeeperError(f"the secret-id is not the keeper's to replace: {why}", hint=hint)
    file = path(settings)
    with _alone(file):
        _finish(keeper, file)
        known = _allowed(keeper, read_secret(file))
        young = known is not None and (known.get("metadata") or {}).items() >= MADE_BY.items()
        if _old(file).exists() or (young and made_at(str((known or {})["creation_time"])) + SELDOM > keeper.clock()):
            raise TooMany("the secret-id is new", hint=TWICE)
        _anew(keeper, file)
    return {"old_until": (keeper.clock() + OVERLAP).isoformat()}


def by_age(keeper: Keeper) -> None:
    """One look: what is left of the last time is ended, and an old one replaced. Raises KeeperError."""
    if keeper.settings.auth != "approle" or why_not(keeper.settings):
        return
    file = path(keeper.settings)
    with _alone(file):
        _finish(keeper, file)
        found = standing(keeper)
        if found is None or found.next is None or found.next > keeper.clock():
            return
        if not found.known:
            log.warning("the vault does not know the secret-id in %s: the keeper makes itself another", file)
        if not _old(file).exists() or not found.known:
            _anew(keeper, file)


def _anew(keeper: Keeper, file: Path) -> None:
    settings, before = keeper.settings, read_secret(file)
    role = f"auth/{settings.mount}/role/{ROLE}"
    try:
        made = keeper.vault.write(f"{role}/secret-id", {"metadata": json.dumps(MADE_BY)})["data"]
    except Refused as error:
        raise KeeperError(error.detail, hint=said("The secret-id is replaced %(why)s.", why=OLD_POLICY)) from error
    fresh = Secret(str(made["secret_id"]))
    put(_next(file), fresh.reveal().encode())
    try:
        keeper.vault.enter(AppRole(settings.role_id, lambda: fresh, settings.mount))
    except Refused as error:
        _end(keeper, _next(file), file)
        raise KeeperError(error.detail, hint=REFUSED) from error
    put(_old(file), before.reveal().encode())
    _next(file).replace(file)
    log.info("the secret-id was replaced: accessor=%s", made.get("secret_id_accessor"))


def _finish(keeper: Keeper, file: Path) -> None:
    """What a keeper that died left, and what has had its time."""
    if _next(file).exists():
        _end(keeper, _next(file), file)
    old = _old(file)
    if old.exists() and datetime.fromtimestamp(old.stat().st_mtime, UTC) + OVERLAP <= keeper.clock():
        _end(keeper, old, file)


def _end(keeper: Keeper, left: Path, file: Path) -> None:
    """At the vault, and then here. The one in use never, nor the last that the vault knows."""
    value, used = read_secret(left), read_secret(file)
    if value != used:
        if left == _old(file) and _known(keeper, used) is None:
            log.error("the vault does not know the secret-id in %s: the one before it is not ended", file)
            return
        keeper.vault.write(f"auth/{keeper.settings.mount}/role/{ROLE}/secret-id/destroy", {"secret_id": value.reveal()})
        log.info("a secret-id that is no longer used was ended")
    left.unlink(missing_ok=True)


def _known(keeper: Keeper, value: Secret[str]) -> Mapping[str, Any] | None:
    """What the vault says of a secret-id: when it was made, how long it lives; None where it is none. Raises Refused."""
    asked = {"secret_id": value.reveal()}
    try:
        answer = keeper.vault.write(f"auth/{keeper.settings.mount}/role/{ROLE}/secret-id/lookup", asked)
    except Refused as error:
        if error.status == 404:
            return None
        raise
    return answer.get("data") or None


def _allowed(keeper: Keeper, value: Secret[str]) -> Mapping[str, Any] | None:
    try:
        return _known(keeper, value)
    except Refused as error:
        raise KeeperError(error.detail, hint=said("The secret-id is replaced %(why)s.", why=OLD_POLICY)) from error


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One process of this keeper at a time. Raises TooMany. The lock is the kernel's: it ends with whoever holds it."""
    with file.with_name(file.name + ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TooMany("another process is at it", hint="The secret-id is being replaced at this moment.") from error
        yield


def _next(file: Path) -> Path:
    return file.with_name(file.name + ".next")


def _old(file: Path) -> Path:
    return file.with_name(file.name + ".old")


HANDLERS = {"rotate_secret_id": rotate}
