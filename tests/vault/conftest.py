"""A second instance, a real one: nobody's first factor approves there, and its log's head is these tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keeper_parts import KeeperParts, serve
from tests.vault.places import Place
from tests.vault_nodes import Nodes, running


@pytest.fixture(scope="session")
def real_keeper() -> Iterator[KeeperParts]:
    with serve(evaluation=False) as parts:
        yield parts


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """One server of somebody else's, over TLS. Each test has a namespace of its own there."""
    with running() as made:
        yield made


@pytest.fixture
def place(nodes: Nodes, tmp_path: Path) -> Place:
    return Place(nodes, tmp_path)
