"""Who waits for something to change is woken when it does: in this process at once, in others by LISTEN/NOTIFY
(PostgreSQL), or by watching `data_version` and then reading what was told (SQLite)."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable

from sqlalchemy import Engine, String, bindparam, delete, func, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base
from webapp.db.direct import Made, Where, direct

CHANNEL = "counterseal"
EVERYTHING = "*"
POLL = 0.25
KEPT = 1000
"""Topics that are kept for the other processes. One that slept through more of them looks at everything."""
NOTIFY = Made(select(func.pg_notify(bindparam("channel", type_=String), bindparam("topic", type_=String))))


class Told(Base):
    """On SQLite: what was told, and by whom, so that one commit does not wake everybody for everything."""

    __tablename__ = "told"
    shown = ("number", "topic")

    number: Mapped[int] = mapped_column(primary_key=True)
    by: Mapped[str]
    topic: Mapped[str]


TELL = Made(insert(Told.__table__), ("by", "topic"))  # type: ignore[arg-type]
FORGET = Made(delete(Told).where(Told.number <= select(func.max(Told.number)).scalar_subquery() - KEPT))


class Changes:
    """Topics are plain strings (`action:act_…`, `queue`, `person:…`). A wake-up says "look again", never what changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._condition = threading.Condition()
        self._counts: dict[str, int] = {}
        self._everything = 0
        self._closed = False
        self._name = secrets.token_hex(8)
        self._watcher: threading.Thread | None = None

    def tell(self, session: Where, *topics: str) -> None:
        """Tell these topics once the session's transaction has committed."""
        session.info.setdefault("topics", set()).update(topics)

    def told(self, session: Where) -> set[str]:
        """What was told in this session; the other processes are told by the commit itself."""
        topics: set[str] = session.info.pop("topics", set())
        if not topics:
            return topics
        on = direct(session)
        if on.dialect.name == "postgresql":
            for topic in topics:
                on.rows(NOTIFY, {"channel": CHANNEL, "topic": topic})
        else:
            on.many(TELL, [{"by": self._name, "topic": topic} for topic in sorted(topics)])
            on.run(FORGET)
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
        """`data_version` moves when another connection committed, this process's own too. It does not say what."""
        path = self._engine.url.database or ""
        connection = sqlite3.connect(path, check_same_thread=False)
        seen, last = None, -1
        while not self._closed:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != seen:
                topics, last = self._others(connection, last)
                self.fire(topics)
            seen = version
            time.sleep(POLL)
        connection.close()

    def _others(self, connection: sqlite3.Connection, last: int) -> tuple[set[str], int]:
        """What others told after that number, and the number of the last of all. At first, where some are missing, and where it
        cannot be read, that is everything."""
        try:
            rows = connection.execute("SELECT number, by, topic FROM told WHERE number > ? ORDER BY number", (last,)).fetchall()
        except sqlite3.Error:
            return {EVERYTHING}, -1
        if last < 0:
            return {EVERYTHING}, rows[-1][0] if rows else 0
        if rows and rows[0][0] != last + 1:
            return {EVERYTHING}, rows[-1][0]
        return {topic for _number, by, topic in rows if by != self._name}, rows[-1][0] if rows else last

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


