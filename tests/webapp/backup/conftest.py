"""An instance of these tests' own: what they do to its vault is nobody else's. Its database lies in its folder, as with `up`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.keeper_parts import KeeperParts, serve
from tests.webapp.exchange.conftest import house, provider, scene  # noqa: F401 its fixtures, on this keeper
from webapp.db import Database
from webapp.db.migrate import upgrade


@pytest.fixture(scope="package")
def own() -> Iterator[KeeperParts]:
    with serve(evaluation=True) as parts:
        yield parts


@pytest.fixture
def keeper(own: KeeperParts) -> KeeperParts:
    """Up, whatever a test before did."""
    own.mend()
    return own


@pytest.fixture
def stopped(own: KeeperParts) -> KeeperParts:
    """Nothing of it runs."""
    own.stop_keeper()
    own.stop_vault()
    return own


@pytest.fixture
def database(own: KeeperParts) -> Iterator[Database]:
    made = Database(f"sqlite:///{own.instance / 'counterseal.sqlite'}")
    upgrade(made)
    yield made
    made.close()
