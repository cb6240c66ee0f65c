"""Fixtures that every room uses: both databases, a clock, a house."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from sqlalchemy import text
from sqlalchemy.engine import create_engine

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from tests.lent import Lender
from tests.once import compile_once
from webapp.db import Base, Database

for _cls in ("WRITE", "SEND", "MONEY", "DESTROY"):
    # Tests that do not speak of the undo window do not wait for it; those that do say how long it is.
    os.environ.setdefault(f"COUNTERSEAL_APPROVALS__UNDO__{_cls}", "0")


DATABASES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--both", action="store_true", help="run every test of a database on SQLite and on PostgreSQL")


def pytest_configure() -> None:
    """The instance folder of settings that name none: in each process of the tests its own, and never the checkout's. Not where
    a server that a test starts imports this."""
    os.environ["COUNTERSEAL_INSTANCE"] = tempfile.mkdtemp(prefix="cs-tests-")
    compile_once()


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["COUNTERSEAL_INSTANCE"], ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test through the keeper costs seconds, and what it tries is seldom the database. One that is made for both is run on one,
    chosen by its name, so that every room meets both. What is marked `both` (races, faults), what has no keeper, what is made
    for one database alone, and everything with `--both` is never left out."""
    if config.getoption("--both") or any("[" in one for one in config.args):
        return
    there = {item.nodeid for item in items}
    left = {item for item in items if _on(item) and _twin(item) in there and _on(item) != _chosen(item)}
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=list(left))


def _on(item: pytest.Item) -> str:
    """The database of a test that may be run on one of both; nothing for any other."""
    call = getattr(item, "callspec", None)
    if call is None or "keeper" not in getattr(item, "fixturenames", ()) or item.get_closest_marker("both"):
        return ""
    return str(call.params.get("database_url", ""))


def _twin(item: pytest.Item) -> str:
    """The same test on the other database."""
    here = _on(item)
    other = DATABASES[1 - DATABASES.index(here)]
    base, _, words = item.nodeid.partition("[")
    return f"{base}[{'-'.join(other if word == here else word for word in words.removesuffix(']').split('-'))}]"


def _chosen(item: pytest.Item) -> str:
    return DATABASES[crc32(min(item.nodeid, _twin(item)).encode()) % 2]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of the maintenance database of a PostgreSQL 18 of our own, on a unix socket in a temporary folder."""
    from tests.postgres import serve

    with serve() as url:
        yield url


TEMPLATE = "template_with_tables"


def _make_tables(url: str) -> None:
    import tests.tables  # noqa: F401 every room's tables on the metadata

    database = Database(url)
    Base.metadata.create_all(database.engine)
    database.close()


@pytest.fixture(scope="session")
def lender(postgres: str) -> Lender:
    """Databases with all tables, lent to one test after the other."""
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    admin.dispose()
    _make_tables(admin.url.set(database=TEMPLATE).render_as_string(hide_password=False))
    return Lender(postgres, TEMPLATE)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tables.sqlite"
    _make_tables(f"sqlite:///{path}")
    return path


def _fresh_postgres(server: str) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template1 STRATEGY file_copy"))
    try:
        yield admin.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database of each kind without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
    else:
        yield from _fresh_postgres(request.getfixturevalue("postgres"))


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database of each kind with all tables."""
    if request.param == "sqlite":
        path = tmp_path / "test.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        with request.getfixturevalue("lender").lend() as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def keeper_session() -> Iterator[KeeperParts]:
    """A real OpenBao and a real keeper process, once for all tests; as in an evaluation instance, new factors may approve."""
    from tests.keeper_parts import serve

    with serve(evaluation=True) as parts:
        yield parts


@pytest.fixture
def keeper(keeper_session: KeeperParts) -> KeeperParts:
    """That keeper, up: a test that stopped or sealed something before is undone."""
    keeper_session.mend()
    keeper_session.forget_log()
    return keeper_session


from tests.app_parts import app, house, signed_in, small_idp  # noqa: E402, F401 the app's fixtures, which use those above
from tests.figures import figures, pytest_terminal_summary  # noqa: E402, F401 a fixture, and what it prints at the end
