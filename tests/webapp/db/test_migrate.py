"""The migrations make exactly the schema that the models have, on both databases, once."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import tests.tables  # noqa: F401 every room's tables on the metadata
from webapp.db import Base, Database
from webapp.db.migrate import FOLDER, HEAD, require_current, upgrade
from webapp.errors import Unavailable


def test_an_empty_database_becomes_what_the_models_say(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    upgrade(database)
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    database.close()
    assert differences == []


def test_two_processes_that_start_at_once_both_find_it_current(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(2)]
    threads = [threading.Thread(target=upgrade, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        require_current(database)
        database.close()


def test_a_database_of_another_version_is_refused(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with pytest.raises(Unavailable, match="another version"):
        require_current(database)
    database.close()


def test_the_newest_revision_is_the_one_that_starting_asks_for() -> None:
    """Else a database that lacks a revision would be taken for current."""
    assert ScriptDirectory(str(FOLDER)).get_current_head() == HEAD
