"""Live pages by server-sent events: a page asks to be told that something changed, and fetches what it shows again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from flask import Response

from webapp.errors import LimitReached

PING = 15.0
LONGEST = 3600.0


class Marks(Protocol):
    """What a stream waits on: `webapp.db.Changes`, or another source of wake-ups."""

    def mark(self, *topics: str) -> tuple[int, ...]: ...

    def wait(self, mark: tuple[int, ...], *topics: str, timeout: float) -> bool: ...


class Seats:
    """Streams are bounded per person and in total, so that idle pages never keep another person out."""

    def __init__(self, per_person: int, total: int) -> None:
        self._per_person, self._total = per_person, total
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, person: str) -> None:
        """Raises LimitReached when the person or the house has no seat left."""
        with self._lock:
            if self._taken[person] >= self._per_person or self._taken.total() >= self._total:
                raise LimitReached("Too many live pages are open. This one updates when you reload it.")
            self._taken[person] += 1

    def leave(self, person: str) -> None:
        with self._lock:
            self._taken[person] -= 1
            if self._taken[person] <= 0:
                del self._taken[person]


def stream(
    changes: Marks, seats: Seats, person: str, topics: tuple[str, ...], render: Callable[[], str], *, also: str = ""
) -> Response:
    """Send `render()` as a message at once and after each change of a topic; a comment every 15 s keeps it open.

    `render` runs outside the request: it takes all it needs in its closure and opens its own reading session. `also` names a DOM
    event that follows each message but the first, so that one stream can wake a page's other parts (browsers open six of them).
    """
    seats.take(person)

    def events() -> Iterator[str]:
        try:
            mark = changes.mark(*topics)
            yield "retry: 2000\n\n"
            yield _event(last := render())
            waited = 0.0
            while waited < LONGEST:
                changed = changes.wait(mark, *topics, timeout=PING)
                mark = changes.mark(*topics)
                if changed and (now := render()) != last:
                    last = now
                    yield _event(last) + (f"event: {also}\ndata: changed\n\n" if also else "")
                elif not changed:
                    waited += PING
                    yield ": ping\n\n"
        finally:
            seats.leave(person)

    return Response(events(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})


def _event(data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"{lines}\n"
