"""One way to read and one way to write, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from webapp.db.changes import Changes
from webapp.db.direct import Direct, NeedsSession, Where, on_connection
from webapp.db.writer import Work, Writer
from webapp.errors import BadInput, Unavailable

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5000
POOL = 10
OVERFLOW = 20
BEGIN = "BEGIN IMMEDIATE"


def _pragmas(connection: Any, _record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Any) -> None:
    """SQLite: take the write lock at once. A transaction that begins as a reader cannot wait for the lock later."""
    connection.exec_driver_sql(BEGIN)


def _engine(url: str, **options: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, **options)
    event.listen(engine, "connect", _pragmas)
    return engine


class Database:
    """An engine and how to use it.

    `write` runs a use case in one transaction and commits it. On SQLite all writes of a process run on one
    native thread: a greenlet that met another's lock would freeze every other one for the busy timeout. So what is given to
    `write` waits for nothing but the database: no vault, no network, no sleep.

    `aside` reads what takes long: on SQLite on a native thread of its own, so that nobody else waits for it.

    `look` and `commit` are the same for what every call does, without a Session (`webapp.db.direct`). On SQLite, works given to
    `commit` that wait at the same time share one commit; each still fails alone.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.sqlite:
            Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            threads = {"check_same_thread": False}
            self.engine = _engine(url, pool_size=POOL, max_overflow=OVERFLOW, connect_args=threads)
            self.writer = _engine(url, poolclass=NullPool, connect_args={"isolation_level": None, **threads})
            event.listen(self.writer, "begin", _begin_immediate)
            self.aside_engine = _engine(url, poolclass=NullPool, connect_args=threads)
        else:
            waits = {"connect_timeout": BUSY_TIMEOUT_MS // 1000, "options": f"-c lock_timeout={BUSY_TIMEOUT_MS}"}
            self.engine = _engine(url, pool_size=POOL, max_overflow=OVERFLOW, pool_pre_ping=True, connect_args=waits)
            self.writer = self.aside_engine = self.engine
        self.changes = Changes(self.engine)
        driver = self.engine.dialect.loaded_dbapi
        self._away = (OperationalError, PoolTimeout, driver.OperationalError)
        self._no_text = (DataError, driver.DataError, UnicodeEncodeError)
        self._thread: Writer | None = None
        self._aside: Writer | None = None
        self._guard = threading.Lock()
        self._connection: Connection | None = None
        self._readers: list[Any] = []
        self.ending: list[Callable[[], None]] = []
        """Asked before it closes: whoever writes beside the requests ends first."""

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to read with; whatever is left uncommitted is rolled back."""
        with self._available(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def aside(self, work: Callable[[Session], T]) -> T:
        """What `work` reads, where that takes long: under gevent, a query of a second on SQLite would hold everybody up. One such
        work after another. What it returns is used elsewhere, so nothing in it may be loaded later. Raises Unavailable."""
        if not self.sqlite:
            with self.read() as session:
                return work(session)
        with self._guard:
            if self._aside is None:
                self._aside = Writer(self._read_aside, lambda: None)
        with self._available():
            result: T = self._aside.run(work, alone=True)
            return result

    def _read_aside(self, works: Sequence[Work]) -> None:
        """On its thread."""
        with Session(self.aside_engine, expire_on_commit=False) as session:
            works[0].result = works[0].run(session)

    @contextmanager
    def look(self) -> Iterator[Direct]:
        """To read with, all of it as of one moment on SQLite. Raises Unavailable."""
        with self._available():
            if not self.sqlite:
                with self.engine.connect() as connection:
                    yield on_connection(connection)
                return
            reader = self._readers.pop() if self._readers else self._reader()
            try:
                reader.execute("BEGIN")
                yield Direct(self.engine.dialect, reader)
            finally:
                reader.rollback()
                self._readers.append(reader)

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction, commit, and return what it returned. Topics given to `changes.tell` are told
        after the commit. Raises Unavailable if the database does not answer or stays locked."""
        with self._available():
            result, topics = self._hand_over(work, alone=True) if self.sqlite else self._transact(work)
        self.changes.fire(topics)
        return result

    def commit(self, work: Callable[[Where], T]) -> T:
        """As `write`, for work that as a rule needs no Session; where it does, it is undone and run again with one. It may be
        run beside others' in one transaction: what it raises undoes its own statements alone, and this has returned only when
        all of it is durable."""
        with self._available():
            try:
                result, topics = self._hand_over(work, alone=False) if self.sqlite else self._commit(work)
            except NeedsSession:
                return self.write(work)
        self.changes.fire(topics)
        return result

    def close(self) -> None:
        for end in self.ending:
            end()
        self.changes.close()
        for thread in (self._thread, self._aside):
            if thread is not None:
                thread.close()
        while self._readers:
            self._readers.pop().close()
        self.engine.dispose()

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except self._away as error:
            hint = "The database does not answer. Nothing was done."
            raise Unavailable(hint, code="database_away", detail=str(error)) from error
        except self._no_text as error:
            # Attack: a stranger's client_id, or a part of a path, with NUL (PostgreSQL has none) or half of a surrogate pair.
            raise BadInput("A text in the request has a character that none can have.", code="invalid_request") from error

    def _reader(self) -> Any:
        """A connection for `look`, kept open: making a pool's one ready costs more than reading."""
        made = self.writer.raw_connection()
        driver = made.driver_connection
        made.detach()
        return driver

    def _hand_over(self, work: Callable[[Any], T], *, alone: bool) -> tuple[T, set[str]]:
        with self._guard:
            if self._thread is None:
                self._thread = Writer(self._batch, self._end)
        result: tuple[T, set[str]] = self._thread.run(work, alone=alone)
        return result

    def _batch(self, works: Sequence[Work]) -> None:
        """On the writer's thread."""
        if works[0].alone:
            works[0].result = self._transact(works[0].run)
            return
        driver = on_connection(self._kept()).driver
        driver.execute(BEGIN)
        try:
            for work in works:
                self._beside(driver, work, others=len(works) > 1)
            driver.execute("COMMIT")
        except BaseException:
            driver.rollback()
            raise

    def _beside(self, driver: Any, work: Work, *, others: bool) -> None:
        """One work of a batch. Where there are others, a savepoint keeps what it raises from them."""
        if not others:
            work.result = self._worked(work.run, Direct(self.engine.dialect, driver))
            return
        driver.execute("SAVEPOINT one")
        try:
            work.result = self._worked(work.run, Direct(self.engine.dialect, driver))
        except Exception as error:  # noqa: BLE001 it is raised again where the work came from
            work.error = error
            driver.execute("ROLLBACK TO one")
        driver.execute("RELEASE one")

    def _worked(self, work: Callable[[Where], T], on: Direct) -> tuple[T, set[str]]:
        result = work(on)
        return result, self.changes.told(on)

    def _commit(self, work: Callable[[Where], T]) -> tuple[T, set[str]]:
        with self.engine.connect() as connection:
            done = self._worked(work, on := on_connection(connection))
            on.driver.commit()
            return done

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

    def _kept(self) -> Connection:
        """The writer thread's one connection, kept open: opening one costs more than a commit."""
        if self._connection is None or self._connection.invalidated:
            self._connection = self.writer.connect()
        return self._connection

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
