"""One set decides in all processes, or none does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.conftest import Clock
from tests.webapp.policy.parts import PERMIT, rules
from vault.door import Door
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.db import Database
from webapp.policy import active
from webapp.policy.errors import PolicyDiffers, PolicyRefused
from webapp.web.house import House

MORE = '@id("more") @reason("r") forbid (principal, action, resource in ToolGroup::"destroy");'

Process = Callable[[str], House]


@pytest.fixture
def process(database: Database, clock: Clock, tmp_path: Path) -> Process:
    """A process of its own, with a folder of its own, on the one database."""
    return lambda name: House(Settings(instance=tmp_path / name), database, Door(tmp_path / "door.sock"), clock)


def entries(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Entry.kind).order_by(Entry.id)))


def test_until_a_set_is_active_nothing_is_decided(process: Process) -> None:
    with pytest.raises(PolicyDiffers):
        active.current(process("a"))


def test_the_first_process_to_start_activates_its_set_with_one_entry(process: Process, database: Database) -> None:
    one, two = process("a"), process("b")
    active.at_start(one)
    active.at_start(two)
    assert active.current(one).digest == active.current(two).digest
    assert entries(database) == ["policy.activated"]


def test_a_process_whose_rules_differ_decides_nothing_and_does_not_take_over(process: Process, tmp_path: Path) -> None:
    rules(tmp_path / "b" / "policies", more=MORE)
    active.at_start(process("a"))
    active.at_start(process("b"))
    with pytest.raises(PolicyDiffers):
        active.current(process("b"))
    active.current(process("a"))


def test_activating_another_set_stops_the_processes_that_hold_the_old_one(
    process: Process, database: Database, clock: Clock, tmp_path: Path
) -> None:
    rules(tmp_path / "b" / "policies", more=MORE)
    one, two = process("a"), process("b")
    active.at_start(one)
    assert database.write(lambda s: active.activate(s, active.read(two.settings), "cli", clock()))
    active.current(two)
    with pytest.raises(PolicyDiffers), database.read() as session:
        active.current(one, session)
    assert entries(database) == ["policy.activated"] * 2


def test_a_running_process_takes_up_the_activated_set_as_soon_as_its_own_files_are_that_set(
    process: Process, database: Database, clock: Clock, tmp_path: Path
) -> None:
    """An operator changes the files of machine `a` and activates; machine `b` has the old files for a while."""
    one, two = process("a"), process("b")
    before = active.at_start(one)
    active.current(two)
    rules(tmp_path / "a" / "policies", more=MORE)
    assert active.current(one) is before, "until it is activated"
    assert database.write(lambda s: active.activate(s, active.read(one.settings), "cli", clock()))
    assert "more" in {rule.id for rule in active.current(one).rules}
    for _ in range(2):
        with pytest.raises(PolicyDiffers):
            active.current(two)
    rules(tmp_path / "b" / "policies", more=MORE.replace('"r"', '"another"'))
    with pytest.raises(PolicyDiffers):
        active.current(two)
    rules(tmp_path / "b" / "policies", more=MORE)
    assert active.current(two).digest == active.current(one).digest


def test_files_that_do_not_load_when_another_set_is_activated_decide_nothing(
    process: Process, database: Database, clock: Clock, tmp_path: Path
) -> None:
    one, two = process("a"), process("b")
    active.at_start(one)
    active.current(two)
    rules(tmp_path / "a" / "policies", more=MORE)
    rules(tmp_path / "b" / "policies", broken="permit")
    database.write(lambda s: active.activate(s, active.read(one.settings), "cli", clock()))
    with pytest.raises(PolicyDiffers):
        active.current(two)


def test_activating_the_active_set_changes_and_records_nothing(process: Process, database: Database, clock: Clock) -> None:
    found = active.at_start(process("a"))
    assert not database.write(lambda s: active.activate(s, found, "cli", clock()))
    assert entries(database) == ["policy.activated"]


def test_a_process_keeps_its_set_whatever_happens_to_the_files_until_it_reloads(process: Process, tmp_path: Path) -> None:
    house = process("a")
    before = active.at_start(house)
    rules(tmp_path / "a" / "policies", more=MORE)
    assert active.current(house) is before
    active.reload(house.settings)
    with pytest.raises(PolicyDiffers):
        active.current(house)


def test_a_reload_that_is_refused_leaves_the_set_that_was(process: Process, tmp_path: Path) -> None:
    house = process("a")
    before = active.at_start(house)
    rules(tmp_path / "a" / "policies", broken=PERMIT + "permit")
    with pytest.raises(PolicyRefused):
        active.reload(house.settings)
    assert active.current(house) is before


def test_a_process_whose_rules_do_not_load_decides_nothing(process: Process, tmp_path: Path) -> None:
    active.at_start(process("a"))
    rules(tmp_path / "b" / "policies", broken="permit")
    with pytest.raises(PolicyRefused):
        active.at_start(process("b"))
    with pytest.raises(PolicyDiffers, match="do not load"):
        active.current(process("b"))


def test_processes_that_start_at_once_agree(process: Process, database: Database) -> None:
    houses = [process(name) for name in "abcd"]
    threads = [threading.Thread(target=active.at_start, args=(house,)) for house in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {active.current(house).digest for house in houses} == {active.loaded(houses[0].settings).digest}
    assert entries(database) == ["policy.activated"]
