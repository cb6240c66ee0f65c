"""Statements that every call runs: made once with SQLAlchemy, and run on the driver's own cursor.

A statement through a Session costs ten times what SQLite needs for it. Here the same Core statement is compiled once for each
database, and values pass both ways through the processors of its columns' types: what comes out is what a Session would give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ClauseElement, Connection, Dialect
from sqlalchemy.orm import Session
from sqlalchemy.orm.instrumentation import manager_of_class
from sqlalchemy.sql.compiler import SQLCompiler

T = TypeVar("T")
Process = Callable[[Any], Any] | None
Row = tuple[Any, ...]
NOTHING: Mapping[str, Any] = {}


class Made:
    """One Core statement: a select, or a change that may have RETURNING. `columns`: those that an insert is given."""

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self.statement = statement
        self._columns = list(columns) if columns is not None else None
        self._compiled: dict[str, _Compiled] = {}

    def on(self, dialect: Dialect) -> _Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self.statement.compile(dialect=dialect, column_keys=self._columns)
            found = self._compiled[dialect.name] = _Compiled(compiled, dialect)
        return found


class _Compiled:
    """The text for one database, what each of its parameters goes through, and what each column of its rows does."""

    def __init__(self, compiled: Any, dialect: Dialect) -> None:
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self._named = not compiled.positional
        names = list(compiled.bind_names.values()) if self._named else list(compiled.positiontup or ())
        processors: Mapping[str, Any] = compiled._bind_processors
        self._binds = [(name, processors.get(name), compiled.binds[name]) for name in names]
        self._fixed = {
            name: _through(process, bind.effective_value) for name, process, bind in self._binds if not bind.required
        }
        self._asked: list[tuple[str, Process]] = [(name, process) for name, process, _bind in self._binds]
        columns = [_result(entry.type, dialect) for entry in compiled._result_columns]
        self._columns = columns if any(columns) else None

    def arguments(self, given: Mapping[str, Any]) -> Any:
        """Raises KeyError for a parameter that is missing."""
        fixed = self._fixed
        values = [
            fixed[name] if name in fixed else given[name] if process is None else process(given[name])
            for name, process in self._asked
        ]
        return dict(zip((name for name, _ in self._asked), values, strict=True)) if self._named else values

    def rows(self, found: Sequence[Row]) -> list[Row]:
        columns = self._columns
        if columns is None:
            return list(found)
        return [
            tuple([value if process is None else process(value) for process, value in zip(columns, row, strict=True)])
            for row in found
        ]


def _through(process: Process, value: Any) -> Any:
    return value if process is None else process(value)


def _result(kind: Any, dialect: Dialect) -> Process:
    found: Process = kind.dialect_impl(dialect).result_processor(dialect, None)
    return found


class Direct:
    """One transaction, or one reading, on the driver's connection. `info` is what a Session calls so."""

    __slots__ = ("dialect", "driver", "info")

    def __init__(self, dialect: Dialect, driver: Any) -> None:
        self.dialect = dialect
        self.driver = driver
        self.info: dict[str, Any] = {}

    def rows(self, made: Made, given: Mapping[str, Any] = NOTHING) -> list[Row]:
        compiled = made.on(self.dialect)
        return compiled.rows(self.driver.execute(compiled.sql, compiled.arguments(given)).fetchall())

    def row(self, made: Made, given: Mapping[str, Any] = NOTHING) -> Row | None:
        """The first row; statements asked so have one at most, or a limit."""
        found = self.rows(made, given)
        return found[0] if found else None

    def run(self, made: Made, given: Mapping[str, Any] = NOTHING) -> int:
        """How many rows it changed."""
        compiled = made.on(self.dialect)
        return int(self.driver.execute(compiled.sql, compiled.arguments(given)).rowcount)

    def many(self, made: Made, given: Sequence[Mapping[str, Any]]) -> None:
        """The same for each of these."""
        compiled = made.on(self.dialect)
        self.driver.cursor().executemany(compiled.sql, [compiled.arguments(each) for each in given])


Where = Session | Direct
"""What the use cases of a call take: either way it is the caller's transaction."""


def copied(cls: type[T], values: Mapping[str, Any]) -> T:
    """An object of a table's class, with all of its columns, that no Session knows: as one is when it was read and let go. Its
    constructor would set one attribute after the other, at the price of the statement that read them."""
    made: T = manager_of_class(cls).new_instance()
    made.__dict__.update(values)
    return made


class NeedsSession(Exception):
    """What was begun without a Session turns out to need one: `Database.commit` undoes it, and runs it again with one."""


def session_of(where: Where) -> Session:
    """For the rare branch of a call. Raises NeedsSession."""
    if isinstance(where, Direct):
        raise NeedsSession
    return where


def direct(where: Where) -> Direct:
    """Of a Session: on the same connection, in the same transaction. What the Session has not flushed is not there yet."""
    return where if isinstance(where, Direct) else on_connection(where.connection())


def on_connection(connection: Connection) -> Direct:
    return Direct(connection.dialect, connection.connection.driver_connection)
