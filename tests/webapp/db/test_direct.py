"""What runs on the driver's own cursor gives what a Session gives; works in one commit fail alone; nobody is answered early."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Select, String, bindparam, func, insert, literal, select, update

from webapp.approvals import same_call, usage
from webapp.approvals.tables import Usage
from webapp.audit import log
from webapp.audit.tables import Entry
from webapp.broker import leases
from webapp.broker.tables import Lease
from webapp.connections import lookup
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.direct import Direct, Made, NeedsSession, Where, direct, session_of
from webapp.db.due import Due, enqueue
from webapp.errors import Unavailable
from webapp.gateway import judging
from webapp.oauth import tokens
from webapp.people.tables import Person
from webapp.policy import active
from webapp.registry import pins

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ADD = Made(insert(Due.__table__), ("id", "kind", "key", "run_at", "payload", "attempts"))  # type: ignore[arg-type]
KEYS = Made(select(Due.key).order_by(Due.key))

SELECTS: dict[str, tuple[Made, dict[str, Any]]] = {
    "token": (tokens.FIND, {"hash": b"\0" * 32}),
    "pin": (pins.PINNED, {"server": "bank", "tool": "get_balance"}),
    "groups": (judging.GROUPS, {"person": "per_1"}),
    "accounts": (lookup.OF_PERSON, {"person": "per_1", "provider": "harbour"}),
    "held": (same_call.KNOWN, {"person": "per_1", "grant": "g", "server": "s", "tool": "t", "arguments": "a"}),
    "policy": (active.ACTIVE, {}),
    **{f"{name}-{at}": (pair[at], {
        "person": "per_1", "connection": "con_1", "recipient": "r", "excluding": "act_1", "since": NOW - timedelta(days=1),
        "client": "cli", "server": "s", "tool": "t",
    }) for (subject, kind), pair in usage.COUNTED.items() for name in (f"{subject}{kind}",) for at in (0, 1)},
}


@pytest.fixture
def planted(database: Database) -> Database:
    """A row in what the statements read."""
    account = {
        "id": "con_1", "person": "per_1", "provider": "harbour", "account": "a", "label": "Zoë’s", "scopes": ["b", "a"],
        "status": "active", "reason": "", "created_at": NOW, "connected_at": NOW, "last_used_at": None, "ended_at": None,
    }
    row = {
        "id": "per_1", "issuer": "i", "subject": "s", "name": "Zoë", "email": "z@x", "groups": ["user", "finance"],
        "created_at": NOW, "seen_at": NOW, "zone": "", "locale": "",
    }
    used = usage.Call("per_1", "con_1", "cli", "s", "t", "r", "r", 5, "EUR", 500)
    database.write(lambda s: s.add_all([Connection(**account), Person(**row)]))
    database.commit(lambda w: usage.record(w, used, NOW))
    return database


@pytest.mark.parametrize("name", SELECTS)
def test_a_select_gives_what_a_session_gives(planted: Database, name: str) -> None:
    made, given = SELECTS[name]
    asked = {key: value for key, value in given.items() if key in made.statement.compile().params}
    assert isinstance(made.statement, Select)
    with planted.read() as session:
        expected = [tuple(row) for row in session.connection().execute(made.statement, asked)]
        assert direct(session).rows(made, given) == expected
    with planted.look() as on:
        assert on.rows(made, given) == expected


def test_what_is_inserted_is_what_a_session_reads(database: Database) -> None:
    given: Any = dict.fromkeys(Lease.__table__.columns.keys(), "x") | {
        "state": "planned", "connection": "con_1", "action": None, "scopes": ["b", "ä"], "actors": [],
        "exclusive": True, "cap": 300,
        "planned_at": NOW.astimezone(timezone(timedelta(hours=2))), "until": NOW, "closed_at": None,
    }
    database.commit(lambda w: direct(w).run(leases.INSERT, given))
    with database.read() as session:
        row = session.scalars(select(Lease)).one()
        assert {name: getattr(row, name) for name in given} == given
        assert row.planned_at == NOW
        assert row.planned_at.utcoffset() == timedelta(0)


def test_a_naive_time_is_refused_as_everywhere(database: Database) -> None:
    with pytest.raises(ValueError, match="naive"):
        database.commit(lambda w: log.append(w, kind="k", actor="a", subject="s", detail={}, at=NOW.replace(tzinfo=None)))


def test_a_change_says_how_many_rows_and_returns_what_it_was_asked_for(planted: Database) -> None:
    change = update(Connection).where(Connection.id == bindparam("which")).values(label=bindparam("words"))
    plain, returning = Made(change), Made(change.returning(Connection.scopes, Connection.connected_at))
    given = {"which": "con_1", "words": "100 % 'mine' ?"}
    assert planted.commit(lambda w: direct(w).run(plain, given)) == 1
    assert planted.commit(lambda w: direct(w).run(plain, {**given, "which": "none"})) == 0
    assert planted.commit(lambda w: direct(w).rows(returning, given)) == [(["b", "a"], NOW)]
    with planted.read() as session:
        assert session.scalars(select(Connection.label)).one() == given["words"]


def test_a_parameter_that_is_missing_is_an_error(database: Database) -> None:
    with pytest.raises(KeyError), database.look() as on:
        on.rows(judging.GROUPS)


def test_looking_sees_one_moment_on_sqlite(database: Database) -> None:
    with database.look() as on:
        before = on.rows(KEYS)
        database.write(lambda s: enqueue(s, "k", "1", NOW))
        assert not database.sqlite or on.rows(KEYS) == before
    with database.look() as on:
        assert on.rows(KEYS) == [("1",)]


def add(key: str) -> dict[str, Any]:
    return {"id": f"due_{key}", "kind": "k", "key": key, "run_at": NOW, "payload": {}, "attempts": 0}


def keys(database: Database) -> list[str]:
    with database.look() as on:
        return [key for (key,) in on.rows(KEYS)]


def test_an_error_leaves_nothing_behind(database: Database) -> None:
    def work(where: Where) -> None:
        direct(where).run(ADD, add("1"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.commit(work)
    assert keys(database) == []


def test_work_that_needs_a_session_is_undone_and_run_again_with_one(database: Database) -> None:
    seen: list[str] = []

    def work(where: Where) -> str:
        seen.append(type(where).__name__)
        direct(where).run(ADD, add(str(len(seen))))
        enqueue(session_of(where), "k", "later", NOW)
        return "done"

    assert database.commit(work) == "done"
    assert seen == ["Direct", "Session"]
    assert keys(database) == ["2", "later"]
    with pytest.raises(NeedsSession):
        session_of(Direct(database.engine.dialect, None))


def together(database: Database, works: list[Any]) -> list[Any]:
    """Hand them all over while the writer is busy, so that on SQLite they share a commit; what each returned or raised."""
    begun, go, found = threading.Event(), threading.Event(), [None] * len(works)

    def busy(where: Where) -> None:
        begun.set()
        assert go.wait(30)

    def one(at: int) -> None:
        try:
            found[at] = database.commit(works[at])
        except Exception as error:
            found[at] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=database.commit, args=(busy,))]
    threads[0].start()
    assert begun.wait(30)
    threads += [threading.Thread(target=one, args=(at,)) for at in range(len(works))]
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(30)
    return found


def test_each_of_many_works_fails_alone(database: Database) -> None:
    def work(at: int) -> Any:
        def run(where: Where) -> int:
            direct(where).run(ADD, add(f"{at:02}"))
            if at % 3 == 0:
                raise ZeroDivisionError(at)
            if at % 3 == 1:
                direct(where).run(ADD, add(f"{at:02}"))  # the database itself refuses this one
            return at

        return run

    found = together(database, [work(at) for at in range(12)])
    assert [at for at in range(12) if found[at] == at] == [2, 5, 8, 11]
    assert all(isinstance(found[at], ZeroDivisionError) for at in range(0, 12, 3))
    assert all(type(found[at]).__name__ in ("IntegrityError", "UniqueViolation") for at in range(1, 12, 3))
    assert keys(database) == ["02", "05", "08", "11"]


def test_the_log_of_each_is_there_and_topics_are_told_after_the_commit(database: Database) -> None:
    def work(at: int) -> Any:
        def run(where: Where) -> str:
            database.changes.tell(where, f"t{at}")
            return log.append(where, kind="k.k", actor="system", subject=str(at), detail={"n": at}, at=NOW)

        return run

    mark = database.changes.mark("t0", "t1", "t2")
    found = together(database, [work(at) for at in range(3)])
    assert database.changes.wait(mark, "t0", "t1", "t2", timeout=30)
    with database.read() as session:
        assert set(session.scalars(select(Entry.id))) == set(found)


def test_a_database_that_stays_locked_is_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if not database.sqlite:
        pytest.skip("PostgreSQL locks rows")
    database.commit(lambda w: direct(w).run(ADD, add("1")))
    monkeypatch.setattr("webapp.db.engine.BUSY_TIMEOUT_MS", 1)
    held = Database(database.url)
    other = Database(database.url)
    with held.writer.connect() as connection, connection.begin(), pytest.raises(Unavailable):
        other.commit(lambda w: direct(w).run(ADD, add("2")))
    other.commit(lambda w: direct(w).run(ADD, add("3")))
    assert keys(database) == ["1", "3"]
    held.close()
    other.close()


def test_counting_is_the_same_for_a_session_and_without(planted: Database) -> None:
    call = usage.Call("per_1", "con_1", "cli", "s", "t")
    with planted.read() as session, planted.look() as on:
        assert usage.facts(session, call, NOW) == usage.facts(on, call, NOW)
        assert usage.facts(on, call, NOW).counts["calls_last_hour"] == 1
        assert usage.facts(on, call, NOW).counts["base_minor_last_day"] == 500


def test_constants_of_a_statement_are_bound(database: Database) -> None:
    made = Made(select(literal("it's", String), bindparam("asked", type_=String), func.count()).select_from(Usage).limit(1))
    with database.look() as on:
        assert on.rows(made, {"asked": "%s ? :x"}) == [("it's", "%s ? :x", 0)]


def test_a_copy_is_what_was_read_and_belongs_to_no_session(planted: Database) -> None:
    with planted.look() as on:
        found = lookup.usable(on, "per_1", "harbour", ["a"])
    with planted.read() as session:
        read = session.get_one(Connection, "con_1")
        assert {name: getattr(found, name) for name in lookup.COLUMNS} == {name: getattr(read, name) for name in lookup.COLUMNS}
        assert found not in session
    assert repr(found) == repr(read)
