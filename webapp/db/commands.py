"""`counterseal db upgrade`: bring the database to this version, for installations that `counterseal up` does not own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from webapp.config import Settings
from webapp.db import Database
from webapp.db.migrate import upgrade
from webapp.errors import CountersealError


@contextmanager
def opened() -> Iterator[Database]:
    """The database for one command; what the app refuses is said in its own words."""
    database = Database(Settings().database)
    try:
        yield database
    except CountersealError as error:
        raise click.ClickException(error.hint) from error
    finally:
        database.close()


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
