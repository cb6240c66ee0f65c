"""The instance's mark: its id, and whether it is an evaluation instance. Written once; the keeper's policy cannot change it."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass

from vault.errors import KeeperError
from vault.kv import Record
from vault.table import Keeper

PATH = "instance/mark"
FIRST = threading.Lock()
CONFIG = {"cas_required": "true", "max_versions": "1"}
"""As texts: the policy allows exactly these values, and compares numbers with texts."""


class WrongComposition(KeeperError):
    """The vault belongs to an evaluation instance and the keeper was started as a real one, or the other way round."""

    code = "wrong_composition"
    hint = "This vault belongs to an instance of another kind (evaluation or real). Nothing runs until that is settled."


@dataclass(frozen=True)
class Mark:
    id: str
    evaluation: bool


def mark(keeper: Keeper) -> Mark:
    """Read it, or make it at the very first start. An evaluation instance is one for ever, and so is a real one: a keeper
    started as the other raises WrongComposition for everything it is asked."""
    found: Mark | None = keeper.memory.get("mark")
    if found is None:
        record = keeper.kv.read(PATH) or _make(keeper)
        if record is None:
            raise WrongComposition("the mark was written and is not there")
        found = Mark(str(record.data["id"]), bool(record.data["evaluation"]))
        keeper.memory["mark"] = found
    if found.evaluation != keeper.settings.evaluation:
        raise WrongComposition(f"the vault says evaluation={found.evaluation}")
    return found


def _make(keeper: Keeper) -> Record | None:
    """The very first request. Its neighbours wait: two that configure a new engine at once make one of them fail."""
    with FIRST:
        if record := keeper.kv.read(PATH):
            return record
        # Before anything is stored. One version: an older one would keep a refresh token that was rotated away.
        keeper.vault.write(f"{keeper.settings.prefix}kv/config", CONFIG)
        keeper.settings.note_started()
        keeper.kv.create(PATH, {"id": secrets.token_hex(8), "evaluation": keeper.settings.evaluation})
        return keeper.kv.read(PATH)
