"""Figures as they were counted last: whoever looks again and again, or together with others, has them counted once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT = 20.0
"""Seconds. They are gathered once a minute as a rule."""
MOST = 50


class Shelf(Generic[T]):
    """One at a time is counted: nobody keeps a process busy by asking for all ranges at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Hashable, tuple[float, T]] = {}

    def get(self, key: Hashable, count: Callable[[], T]) -> T:
        with self._lock:
            there = {one: kept for one, kept in self._found.items() if time.monotonic() - kept[0] < KEPT}
            if key not in there:
                counted = count()
                there = dict(list(there.items())[-MOST + 1:])
                there[key] = time.monotonic(), counted
            self._found = there
            return there[key][1]
