"""`counterseal db upgrade`: bring the database to this version, for installations that `counterseal up` does not own."""

from __future__ import annotations

import click

from webapp.config import Settings
from webapp.db import Database
from webapp.db.migrate import upgrade


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
def upgrade_command() -> None:
    """Apply the revisions that are missing. Safe to run twice, and by two machines at once."""
    database = Database(Settings().database)
    try:
        upgrade(database)
    finally:
        database.close()
    click.echo("The database is of this version.")
