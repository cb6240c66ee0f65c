"""How often one token client may come to the token endpoint within a minute: what is beyond it is neither judged nor written."""

from __future__ import annotations

from datetime import datetime
from threading import Lock

from webapp.errors import LimitReached

SECONDS = 60


class Pace:
    """One for each web process, in memory: a coarse limit, against a flood of entries in the log and of due rows."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._minute = 0
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    def take(self, client: str, now: datetime) -> None:
        """For a client that has proved itself: nobody else can use up its requests. Raises LimitReached."""
        minute = int(now.timestamp()) // SECONDS
        with self._lock:
            if minute != self._minute:
                self._minute, self._counts = minute, {}
            count = self._counts.get(client, 0) + 1
            self._counts[client] = count
        if count > self.most:
            raise LimitReached("This client asks too often. Wait a minute.", detail=client)
