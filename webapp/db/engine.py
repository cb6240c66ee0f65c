"""One way to read and one way to write, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from webapp.db.changes import Changes
from webapp.errors import Unavailable

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5000
POOL = 10
OVERFLOW = 20


def _pragmas(connection: Any, _record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Any) -> None:
    """SQLite: take the write lock at once. A transaction that begins as a reader cannot wait for the lock later."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _engine(url: str, **options: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, **options)
    event.listen(engine, "connect", _pragmas)
    return engine


class Database:
    """An engine and how to use it.

    `write` runs a use case in one transaction and commits it. On SQLite all writes of a process run on one
    native thread: a greenlet that met another's lock would freeze every other one for the busy timeout. So what is given to
    `write` waits for nothing but the database: no vault, no network, no sleep.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.sqlite:
            Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.engine = _engine(url, pool_size=POOL, max_overflow=OVERFLOW, connect_args={"check_same_thread": False})
            self.writer = _engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
            event.listen(self.writer, "begin", _begin_immediate)
        else:
            waits = {"connect_timeout": BUSY_TIMEOUT_MS // 1000, "options": f"-c lock_timeout={BUSY_TIMEOUT_MS}"}
            self.engine = _engine(url, pool_size=POOL, max_overflow=OVERFLOW, pool_pre_ping=True, connect_args=waits)
            self.writer = self.engine
        self.changes = Changes(self.engine)
        self._thread: Any = None
        self._guard = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to read with; whatever is left uncommitted is rolled back."""
        with _available(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction, commit, and return what it returned. Topics given to `changes.tell` are told
        after the commit. Raises Unavailable if the database does not answer or stays locked."""
        with _available():
            result, topics = self._submit(work) if self.sqlite else self._transact(work)
        self.changes.fire(topics)
        return result

    def close(self) -> None:
        self.changes.close()
        if self._thread is not None:
            self._thread.close()
        self.engine.dispose()

    def _submit(self, work: Callable[[Session], T]) -> tuple[T, set[str]]:
        with self._guard:
            if self._thread is None:
                self._thread = _Writer()
        result: tuple[T, set[str]] = self._thread.run(lambda: self._transact(work))
        return result

    def _transact(self, work: Callable[[Session], T]) -> tuple[T, set[str]]:
        connection = self._kept() if self.sqlite else self.writer.connect()
        try:
            with connection.begin(), Session(connection, expire_on_commit=False) as session:
                result = work(session)
                session.flush()
                topics = self.changes.told(session)
                return result, topics
        finally:
            if not self.sqlite:
                connection.close()

    def _kept(self) -> Any:
        """The writer thread's one connection, kept open: opening one costs more than a commit."""
        connection = getattr(self._local, "connection", None)
        if connection is None or connection.invalidated:
            connection = self._local.connection = self.writer.connect()
        return connection


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise Unavailable("The database does not answer. Nothing was done.", code="database_away", detail=str(error)) from error


class _Writer:
    """One native thread, under gevent or not; waiting for it never blocks another greenlet."""

    def __init__(self) -> None:
        self._pool: Any
        if _patched():
            from gevent.threadpool import ThreadPool

            self._pool = ThreadPool(1)
        else:
            self._pool = ThreadPoolExecutor(1, "writes")

    def run(self, work: Callable[[], Any]) -> Any:
        if isinstance(self._pool, ThreadPoolExecutor):
            return self._pool.submit(work).result()
        return self._pool.apply(work)

    def close(self) -> None:
        if isinstance(self._pool, ThreadPoolExecutor):
            self._pool.shutdown()
        else:
            self._pool.kill()


def _patched() -> bool:
    try:
        from gevent.monkey import is_module_patched
    except ImportError:
        return False
    return bool(is_module_patched("threading"))
