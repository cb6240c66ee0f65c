"""Who waits for something to change is woken when it does: in this process at once, in others by LISTEN/NOTIFY
(PostgreSQL) or by watching `data_version` (SQLite)."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable

from sqlalchemy import Engine, String, bindparam, func, select

from webapp.db.direct import Made, Where, direct

CHANNEL = "counterseal"
EVERYTHING = "*"
POLL = 0.25
NOTIFY = Made(select(func.pg_notify(bindparam("channel", type_=String), bindparam("topic", type_=String))))


class Changes:
    """Topics are plain strings (`action:act_…`, `queue`, `person:…`). A wake-up says "look again", never what changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._condition = threading.Condition()
        self._counts: dict[str, int] = {}
        self._everything = 0
        self._closed = False
        self._watcher: threading.Thread | None = None

    def tell(self, session: Where, *topics: str) -> None:
        """Tell these topics once the session's transaction has committed."""
        session.info.setdefault("topics", set()).update(topics)

    def told(self, session: Where) -> set[str]:
        """What was told in this session; on PostgreSQL the other processes are told by the commit itself."""
        topics: set[str] = session.info.pop("topics", set())
        if self._engine.dialect.name == "postgresql":
            for topic in topics:
                direct(session).rows(NOTIFY, {"channel": CHANNEL, "topic": topic})
        return topics

    def fire(self, topics: Iterable[str]) -> None:
        topics = set(topics)
        if not topics:
            return
        with self._condition:
            for topic in topics:
                if topic == EVERYTHING:
                    self._everything += 1
                else:
                    self._counts[topic] = self._counts.get(topic, 0) + 1
            if len(self._counts) > 10_000:
                self._counts.clear()
                self._everything += 1
            self._condition.notify_all()

    def mark(self, *topics: str) -> tuple[int, ...]:
        """Where things stand; take it before reading, give it to `wait` after: nothing is missed in between."""
        self._watch()
        with self._condition:
            return self._stand(topics)

    def wait(self, mark: tuple[int, ...], *topics: str, timeout: float) -> bool:
        """Wait until one of the topics was told since `mark`, at most `timeout` seconds; whether it was."""
        end = time.monotonic() + timeout
        with self._condition:
            while self._stand(topics) == mark and not self._closed:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
            return True

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if self._watcher is not None:
            self._watcher.join(2)

    def _stand(self, topics: tuple[str, ...]) -> tuple[int, ...]:
        return (self._everything, *(self._counts.get(topic, 0) for topic in topics))

    def _watch(self) -> None:
        with self._condition:
            if self._closed or (self._watcher is not None and self._watcher.is_alive()):
                return
            target = self._listen if self._engine.dialect.name == "postgresql" else self._poll
            self._watcher = threading.Thread(target=target, name="changes", daemon=True)
            self._watcher.start()

    def _poll(self) -> None:
        """`data_version` moves when another connection committed. It does not say what: everyone looks again."""
        path = self._engine.url.database or ""
        connection = sqlite3.connect(path, check_same_thread=False)
        seen = None
        while not self._closed:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if seen is not None and version != seen:
                self.fire([EVERYTHING])
            seen = version
            time.sleep(POLL)
        connection.close()

    def _listen(self) -> None:
        while not self._closed:
            try:
                self._listen_once()
            except Exception as error:  # noqa: BLE001 the server may go away at any point; waiters look again on their own clocks
                _log_lost(error)
                time.sleep(1)

    def _listen_once(self) -> None:
        import psycopg

        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self.fire([EVERYTHING])
            while not self._closed:
                for notice in connection.notifies(timeout=1.0):
                    self.fire([notice.payload])


def _log_lost(error: Exception) -> None:
    import logging

    logging.getLogger(__name__).warning("changes: lost the database, trying again: %s", type(error).__name__)


