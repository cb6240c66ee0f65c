"""A house in the keeper's own instance folder, for both to read one catalogue; and a scripted provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.scripted_provider import Scripted, serve
from webapp.config import Settings
from webapp.db import Database
from webapp.web.house import House


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> House:
    settings = Settings(instance=keeper.instance, public_url=PUBLIC_URL, database_url=database.url)
    return House(settings, database, keeper.door, clock)


@pytest.fixture
def provider(keeper: KeeperParts) -> Iterator[Scripted]:
    with serve() as made:
        keeper.door.provider_put("harbour", made.record())
        yield made
