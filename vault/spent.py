"""What can be done once: the record is made once, and the keeper's policy allows no change to it."""

from __future__ import annotations

import hashlib

from vault.errors import NotApproved
from vault.table import Keeper


def spend(keeper: Keeper, action: str) -> None:
    """Spend an action's evidence, before anything is minted on it. Raises NotApproved the second time, in any process, for
    ever. A crash after this costs the approval, never a second call (promise 2)."""
    if not once(keeper, "action", action):
        raise NotApproved(f"{action} was spent already", hint="This approval was used already.")


def once(keeper: Keeper, kind: str, value: str) -> bool:
    """Whether this is the first time that this value of this kind is seen."""
    return keeper.kv.create(_path(kind, value), {"kind": kind, "at": keeper.clock().isoformat()})


def was_spent(keeper: Keeper, action: str) -> bool:
    """A look before any work is done; only `spend` decides."""
    return keeper.kv.read(_path("action", action)) is not None


def reject(keeper: Keeper, digest: str) -> None:
    """Remember that this very envelope was rejected. Attack: whoever can write to the database deletes the statement that says
    no, and presents those that said yes."""
    once(keeper, "rejected", digest)


def was_rejected(keeper: Keeper, digest: str) -> bool:
    return keeper.kv.read(_path("rejected", digest)) is not None


def _path(kind: str, value: str) -> str:
    return "spent/" + hashlib.sha256(f"{kind}\n{value}".encode()).hexdigest()
