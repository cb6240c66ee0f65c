"""Writing, reading and being told, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from webapp.db import Database
from webapp.db.due import Due, enqueue
from webapp.errors import BadInput, Unavailable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_what_is_written_is_read_back_with_its_zone(database: Database) -> None:
    database.write(lambda s: enqueue(s, "k", "1", NOW))
    with database.read() as session:
        assert session.scalars(select(Due)).one().run_at == NOW


def test_an_error_in_the_use_case_leaves_nothing_behind(database: Database) -> None:
    def work(session: Session) -> None:
        enqueue(session, "k", "1", NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(work)
    with database.read() as session:
        assert session.scalars(select(Due)).all() == []
    database.write(lambda s: enqueue(s, "k", "2", NOW))


@pytest.mark.parametrize("name", ["half\ud800", "nul\x00"])
def test_a_text_that_cannot_be_stored_is_its_senders_mistake(database: Database, name: str) -> None:
    """Attack: a stranger's client_id or path that no database takes, for an error that looks like ours and fills the log."""
    if "\x00" in name and database.sqlite:
        pytest.skip("SQLite stores NUL")
    with pytest.raises(BadInput), database.read() as session:
        session.scalars(select(Due).where(Due.key == name)).all()
    with pytest.raises(BadInput):
        database.write(lambda s: enqueue(s, "k", name, NOW))
    database.write(lambda s: enqueue(s, "k", "1", NOW))


def test_a_row_enqueued_twice_is_one_row_at_the_earlier_time(database: Database) -> None:
    database.write(lambda s: enqueue(s, "k", "1", NOW))
    database.write(lambda s: enqueue(s, "k", "1", NOW - timedelta(hours=1)))
    database.write(lambda s: enqueue(s, "k", "1", NOW + timedelta(hours=1)))
    with database.read() as session:
        assert [row.run_at for row in session.scalars(select(Due))] == [NOW - timedelta(hours=1)]


def test_forty_threads_writing_lose_nothing(database: Database) -> None:
    threads = [threading.Thread(target=database.write, args=(lambda s, i=i: enqueue(s, "k", str(i), NOW),)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert len(session.scalars(select(Due)).all()) == 40


def test_who_waits_is_woken_by_another_process(database: Database, database_url: str) -> None:
    other = Database(database_url)
    mark = other.changes.mark("due")
    database.write(lambda s: enqueue(s, "k", "1", NOW))
    assert other.changes.wait(mark, "due", timeout=60)
    other.close()


def test_what_is_read_aside_is_what_was_written_and_fails_alone(database: Database) -> None:
    database.write(lambda s: enqueue(s, "k", "1", NOW))
    assert database.aside(lambda s: s.scalars(select(Due.key)).all()) == ["1"]
    with pytest.raises(ZeroDivisionError):
        database.aside(lambda _s: 1 / 0)
    database.write(lambda s: enqueue(s, "k", "2", NOW))
    assert sorted(database.aside(lambda s: s.scalars(select(Due.key)).all())) == ["1", "2"]


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="naive"):
        database.write(lambda s: enqueue(s, "k", "1", datetime(2026, 1, 1)))  # noqa: DTZ001


def test_a_database_that_is_gone_is_unavailable_and_not_a_traceback() -> None:
    gone = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable) as caught, gone.read() as session:
        session.execute(text("SELECT 1"))
    assert "nobody" not in caught.value.hint
