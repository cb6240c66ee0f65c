"""Live pages by server-sent events: a page asks to be told that something changed, and fetches what it shows again."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from flask import Response, request

from webapp.errors import LimitReached

PING = 15.0
LOOK = 1.0
"""How often a stream looks whether its browser is still there, in seconds."""
ESTABLISHED = 1
"""TCP's state (`tcp_states.h`); CLOSE_WAIT, where the other end has closed, is 8."""
LONGEST = 3600.0
PINGED = ": ping\n\n"
HERE = "event: here\ndata: still\n\n"
"""A page cannot see a comment: it is told that the stream still stands, and says that it is behind when it is told no more."""


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
        self.closed = False

    def close(self) -> None:
        """Every stream ends within a second: the process stops."""
        self.closed = True

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
    changes: Marks, seats: Seats, person: str, topics: tuple[str, ...], render: Callable[[], str], *,
    alive: Callable[[], bool], also: str = "",
) -> Response:
    """Send `render()` as a message at once and after each change of a topic; a comment every 15 s keeps it open.

    `render` runs outside the request: it takes all it needs in its closure and opens its own reading session. `alive` says
    whether the sign-in that opened the stream still counts: a stream must not outlive it (promise 4), so it is asked at every
    wake-up, before anything is sent. `also` names a DOM event that follows each message, so that one stream can wake a page's
    other parts (browsers open six of them). It follows the first one too: what changed between the page and its stream, or while
    that was cut off, would stay unseen otherwise.
    """
    seats.take(person)
    wake = f"event: {also}\ndata: changed\n\n" if also else ""
    ping = PINGED + (HERE if also else "")
    connection = request.environ.get("gunicorn.socket")

    def events() -> Iterator[str]:
        mark = changes.mark(*topics)
        yield "retry: 2000\n\n"
        yield _event(last := render()) + wake
        lived = quiet = 0.0
        while lived < LONGEST and not seats.closed and not _left(connection):
            changed = changes.wait(mark, *topics, timeout=LOOK)
            mark = changes.mark(*topics)
            lived, quiet = lived + LOOK, quiet + LOOK
            if (changed or quiet >= PING) and not alive():
                return
            if changed and (now := render()) != last:
                last, quiet = now, 0.0
                yield _event(last) + wake
            elif quiet >= PING:
                quiet = 0.0
                yield ping

    response = Response(events(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})
    response.call_on_close(lambda: seats.leave(person))
    return response


def _left(connection: socket.socket | None) -> bool:
    """Whether the browser has closed its end: its seat does not wait for the next thing to be written. Asks the kernel alone."""
    if connection is None or connection.family == socket.AF_UNIX:
        return False
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED
    except OSError:
        return True


def _event(data: str) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"{lines}\n"
