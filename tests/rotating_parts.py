"""Keepers in this process, on a vault of their own and under the test's clock: what is rotated here, nobody else uses."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.clock import Clock
from tests.keeper_parts import KeeperParts, serve
from vault.app import table
from vault.door import Door
from vault.lines import Line
from vault.mark import mark
from vault.table import Keeper


class Near(Line):
    """Asks several keepers in turn: what one of them remembers, the others need not know."""

    def __init__(self, keepers: list[Keeper]) -> None:
        super().__init__(Path("nowhere"), 1.0)
        self._keepers = keepers
        self._next = itertools.cycle(keepers)
        self._lock = threading.Lock()

    def forget(self) -> None:
        """As if each had asked the vault a minute ago: what they remember for so long is asked for anew."""
        for keeper in self._keepers:
            keeper.memory.clear()

    def ask(self, name: str, timeout: float | None = None, /, *, again: bool = False, **body: Any) -> dict[str, Any]:
        with self._lock:
            keeper = next(self._next)
        return dict(table()[name](keeper, body))


@contextmanager
def vault_alone() -> Iterator[KeeperParts]:
    with serve(evaluation=True, start=False) as parts:
        parts.start_vault()
        mark(parts.inside())
        yield parts


def keepers(parts: KeeperParts, clock: Clock) -> tuple[list[Keeper], Door]:
    """Two keepers that share nothing but the vault, and a door to both."""
    made = [parts.inside(clock) for _ in range(2)]
    door = Door(parts.instance / "none.sock")
    door.__dict__["_line"] = Near(made)
    return made, door


def made_at(keeper: Keeper, key: str) -> datetime:
    known = keeper.transit.versions(key)
    return known.made[known.newest]
