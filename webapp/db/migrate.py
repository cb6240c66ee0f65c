"""Bring a database to the current schema, once, whoever starts first.

Alembic is imported where there is something to migrate: every start of a web process would pay for it otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, inspect, text

from webapp.db.engine import Database
from webapp.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"
"""The newest revision in `migrations/versions`."""
VERSION = "alembic_version"
FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x636F756E746572
"""An advisory lock of PostgreSQL; SQLite's writer lock does the same."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config


def upgrade(database: Database) -> None:
    """Apply the revisions that are missing. Two processes at once: the second waits and finds nothing to do."""
    if _found(database) == HEAD:
        return
    from alembic import command

    config = _config()
    with database.writer.connect() as connection, connection.begin():
        if not database.sqlite:
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # whoever comes second waits for the first, however long
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _found(database: Database) -> str | None:
    """The revision that the database is of; None for one that has no schema yet."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table(VERSION):
            return None
        return connection.execute(text(f"SELECT version_num FROM {VERSION}")).scalar()


def require_current(database: Database) -> None:
    """Raise Unavailable when the schema is not this version's: code and tables that differ must not meet."""
    found = _found(database)
    if found != HEAD:
        raise Unavailable("The database is of another version. Run counterseal db upgrade.", detail=f"{found} is not {HEAD}")


def revise(database: Database, metadata: MetaData, message: str, name: str) -> None:
    """Write a revision from what `metadata` has and the database lacks (for developers)."""
    from alembic import command

    config = _config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        config.attributes["metadata"] = metadata
        command.revision(config, message, autogenerate=True, rev_id=name)
