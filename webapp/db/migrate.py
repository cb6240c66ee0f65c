"""Bring a database to the current schema, once, whoever starts first."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text

from webapp.db.engine import Database
from webapp.errors import Unavailable

FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x636F756E746572
"""An advisory lock of PostgreSQL; SQLite's writer lock does the same."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config


def upgrade(database: Database) -> None:
    """Apply the revisions that are missing. Two processes at once: the second waits and finds nothing to do."""
    config = _config()
    with database.writer.connect() as connection, connection.begin():
        if not database.sqlite:
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # whoever comes second waits for the first, however long
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Raise Unavailable when the schema is not this version's: code and tables that differ must not meet."""
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    with database.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted:
        raise Unavailable("The database is of another version. Run counterseal db upgrade.", detail=f"{found} is not {wanted}")


def revise(database: Database, metadata: MetaData, message: str, name: str) -> None:
    """Write a revision from what `metadata` has and the database lacks (for developers)."""
    config = _config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        config.attributes["metadata"] = metadata
        command.revision(config, message, autogenerate=True, rev_id=name)
