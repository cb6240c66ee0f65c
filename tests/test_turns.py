"""Which tests a run leaves out: one of two twins at most, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_collection_modifyitems


class Item(SimpleNamespace):
    __hash__ = object.__hash__

    def get_closest_marker(self, name: str) -> Any:
        return self.marker == name or None


def item(name: str, database: str, *, keeper: bool = True, marker: str = "") -> Any:
    call = SimpleNamespace(params={"database_url": database})
    fixtures = ["keeper"] if keeper else []
    return Item(nodeid=f"tests/a.py::{name}[{database}-x]", callspec=call, marker=marker, fixturenames=fixtures)


def kept(items: list[Any], *, both: bool = False, args: tuple[str, ...] = ("tests",)) -> list[str]:
    hook = SimpleNamespace(pytest_deselected=lambda items: None)
    config: Any = SimpleNamespace(getoption=lambda _name: both, args=args, hook=hook)
    pytest_collection_modifyitems(config, items)
    return [one.nodeid for one in items]


def twins(name: str, **more: Any) -> list[Any]:
    return [item(name, "sqlite", **more), item(name, "postgresql", **more)]


def test_of_two_twins_one_is_run_and_over_many_both_databases_are() -> None:
    found = [kept(twins(f"test_{number}")) for number in range(40)]
    assert all(len(one) == 1 for one in found)
    assert 5 < sum("sqlite" in one[0] for one in found) < 35


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_one_that_is_made_for_one_database_is_always_run(database: str) -> None:
    """Or half of the tests in the browser, which need one database only, would never be run."""
    for number in range(40):
        assert len(kept([item(f"test_{number}", database)])) == 1


def test_races_what_has_no_keeper_and_what_is_asked_for_are_run_on_both() -> None:
    for number in range(40):
        assert len(kept(twins(f"test_{number}", marker="both"))) == 2
        assert len(kept(twins(f"test_{number}", keeper=False))) == 2
        assert len(kept(twins(f"test_{number}"), both=True)) == 2
        assert len(kept(twins(f"test_{number}"), args=("tests/a.py::test_1[sqlite-x]",))) == 2
