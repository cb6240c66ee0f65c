"""What a view needs to do its one call: settings, database, door, clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app

from vault.door import Door
from webapp.config import Settings
from webapp.db import Database


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class House:
    """Made once by `create_app` (or by the worker); use cases take what they need of it as arguments."""

    settings: Settings
    database: Database
    door: Door
    clock: Callable[[], datetime] = utc_now


def make_house(settings: Settings) -> House:
    return House(settings, Database(settings.database), Door(settings.socket, timeout=settings.door_timeout))


@contextmanager
def opened(settings: Settings) -> Iterator[House]:
    """A house for one command."""
    made = make_house(settings)
    try:
        yield made
    finally:
        made.database.close()
        made.door.close()


def house() -> House:
    """The house of the app that serves this request. For views only."""
    found: House = current_app.extensions["counterseal"]
    return found
