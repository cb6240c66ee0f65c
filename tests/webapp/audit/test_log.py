"""The log on both databases, signed by a real keeper: what it covers holds, and what was changed is found."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from vault.door import Door
from vault.errors import HeadRefused, KeeperError
from webapp import audit
from webapp.audit import keys, merkle
from webapp.audit.sequencer import node_at
from webapp.audit.tables import Checkpoint, Entry
from webapp.audit.verify import LogBroken, Report, export, stored_bodies, stored_notes, verify, verify_export
from webapp.canonical import canonical
from webapp.config import Settings
from webapp.db import Base, Database
from webapp.errors import LogStalled
from webapp.web.house import House

pytestmark = pytest.mark.both


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock, tmp_path: Path) -> House:
    return House(settings=Settings(instance=tmp_path), database=database, door=keeper.door, clock=clock)


def append(house: House, count: int = 1, subject: str = "act_1") -> list[str]:
    def one(session: Session, number: int) -> str:
        detail = {"n": number, "text": "Zoë"}
        return audit.append(session, kind="action.held", actor="system", subject=subject, detail=detail, at=house.clock())

    return [house.database.write(partial(one, number=number)) for number in range(count)]


def verified(house: House) -> Report:
    with house.database.read() as session:
        return verify(
            bodies=stored_bodies(session), notes=stored_notes(session), keys=keys.pinned(house.settings.instance / keys.FILE)
        )


def test_a_log_that_grew_in_steps_verifies_whole(house: House) -> None:
    for count in (1, 2, 5, 8, 1):
        append(house, count)
        audit.sequence(house)
    report = verified(house)
    assert (report.entries, report.checkpoints, report.pending) == (17, 5, 0)


def test_what_waits_for_its_checkpoint_is_covered_without_a_worker(house: House) -> None:
    (entry,) = append(house)
    audit.covered(house, entry, timeout=60)
    with house.database.read() as session:
        assert session.scalars(select(Checkpoint.size)).all() == [1]


def test_an_entry_that_was_rolled_back_is_not_in_the_log(house: House) -> None:
    def work(session: object) -> None:
        audit.append(session, kind="a.b", actor="system", subject="x", detail={}, at=house.clock())  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        house.database.write(work)
    append(house)
    audit.sequence(house)
    assert verified(house).entries == 1


def test_four_sequencers_at_once_give_each_entry_one_place(house: House, database_url: str, keeper: KeeperParts) -> None:
    append(house, 60)
    houses = [House(house.settings, Database(database_url), keeper.door, house.clock) for _ in range(4)]
    failures: list[KeeperError] = []

    def run(one: House) -> None:
        try:
            audit.sequence(one)
        except KeeperError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in houses:
        one.database.close()
    audit.sequence(house)
    assert failures == []
    assert verified(house).entries == 60


CHANGES = {
    "an entry's words": lambda s, e: s.execute(update(Entry).where(Entry.place == 3).values(body=canonical({"v": 1}))),
    "an entry's bytes": lambda s, e: s.execute(update(Entry).where(Entry.place == 3).values(body=b'{"v": 1}')),
    "an entry removed": lambda s, e: s.execute(delete(Entry).where(Entry.place == 3)),
    "the last entry removed": lambda s, e: s.execute(delete(Entry).where(Entry.place == 9)),
    "two entries swapped": lambda s, e: (
        s.execute(text("UPDATE audit_entries SET place = -1 WHERE place = 3")),
        s.execute(text("UPDATE audit_entries SET place = 3 WHERE place = 4")),
        s.execute(text("UPDATE audit_entries SET place = 4 WHERE place = -1")),
    ),
    "a checkpoint's root": lambda s, e: s.execute(
        update(Checkpoint).values(note=s.scalars(select(Checkpoint.note)).first().replace("\n10\n", "\n9\n"))
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_to_the_log_is_found(house: House, change: object) -> None:
    append(house, 10)
    audit.sequence(house)
    assert verified(house).entries == 10
    house.database.write(lambda s: change(s, None))  # type: ignore[operator]
    with pytest.raises((LogBroken, keys.BadNote)):
        verified(house)


def test_a_checkpoint_signed_by_another_key_does_not_count(house: House) -> None:
    append(house)
    audit.sequence(house)
    path = house.settings.instance / keys.FILE
    name = keys.pinned(path)[0].name
    path.write_text(str(keys.VerifierKey(name, b"\x01" * 32)) + "\n")
    with pytest.raises(keys.BadNote):
        verified(house)


def test_a_database_restored_to_an_older_copy_is_refused(house: House, tmp_path: Path, keeper: KeeperParts, clock: Clock) -> None:
    """The head was published in the vault: a log that does not continue it is signed no more."""
    append(house, 5)
    audit.sequence(house)
    older = Database(f"sqlite:///{tmp_path / 'older.sqlite'}")
    Base.metadata.create_all(older.engine)
    restored = House(house.settings, older, keeper.door, clock)
    append(restored, 3)
    with pytest.raises(HeadRefused):
        audit.sequence(restored)
    append(restored, 9)
    with pytest.raises(HeadRefused):
        audit.sequence(restored)
    older.close()


class Overtaken:
    """The keeper's door; between asking for the head and signing the next one, somebody else signs. `told`: what it was told."""

    def __init__(self, door: Door, meanwhile: Callable[[], None]) -> None:
        self.door, self.meanwhile, self.told = door, [meanwhile], list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.door, name)

    def sign_checkpoint(self, **asked: Any) -> str:
        if self.meanwhile:
            self.meanwhile.pop()()
        try:
            return self.door.sign_checkpoint(**asked)
        except KeeperError as error:
            self.told.append(error.code)
            raise


def test_who_is_overtaken_while_signing_signs_the_rest(house: House) -> None:
    """Two processes sequence at once, and one has placed more than the other signs: all that it placed is covered when it is
    done, and nobody is told of a log that was forked."""
    append(house, 2)
    others = house.door

    def meanwhile() -> None:
        size, _root = others.log_head()
        with house.database.read() as session:
            nodes = node_at(session)
            others.sign_checkpoint(size=4, root=merkle.root(4, nodes), proof=merkle.consistency(size, 4, nodes))

    audit.sequence(house)
    append(house, 5)
    door = Overtaken(others, meanwhile)
    assert audit.sequence(replace(house, door=cast(Door, door))) == 7
    assert others.log_head()[0] == 7
    assert door.told == ["head_moved"]
    assert verified(house).pending == 0


def test_a_keeper_that_died_between_publishing_and_storing_leaves_a_log_that_goes_on(house: House) -> None:
    append(house, 4)
    audit.sequence(house)
    house.database.write(lambda s: s.execute(delete(Checkpoint)))
    audit.sequence(house)
    append(house)
    audit.sequence(house)
    assert verified(house).entries == 5


def test_a_log_that_is_not_signed_is_stalled_and_recovers(house: House, keeper: KeeperParts, clock: Clock) -> None:
    append(house)
    keeper.stop_vault()
    with pytest.raises(KeeperError):
        audit.sequence(house)
    clock.forward(seconds=11)
    with house.database.read() as session, pytest.raises(LogStalled):
        audit.require_flowing(session, clock(), limit=10)
    keeper.start_vault()
    audit.sequence(house)
    with house.database.read() as session:
        audit.require_flowing(session, clock(), limit=10)


def test_an_export_verifies_with_nothing_but_the_public_key(house: House, tmp_path: Path) -> None:
    append(house, 7)
    audit.sequence(house)
    path = tmp_path / "log.jsonl"
    with house.database.read() as session:
        out = io.StringIO()
        assert export(session, out) == 7
    path.write_text(out.getvalue())
    pinned = keys.pinned(house.settings.instance / keys.FILE)
    assert verify_export(path, pinned).entries == 7
    path.write_text(out.getvalue().replace('"n":3', '"n":4'))
    with pytest.raises(LogBroken):
        verify_export(path, pinned)


def test_an_older_copy_agrees_with_itself_and_not_with_a_checkpoint_that_was_kept(tmp_path: Path) -> None:
    """Database and vault put back together: nothing inside shows it. The log continues what was kept, or it is said where not."""
    bodies = [canonical({"kind": "action.held", "n": number}) for number in range(9)]
    told = [*bodies[:6], canonical({"kind": audit.RESTORED}), *bodies[7:]]

    def against(log: list[bytes], of: list[bytes]) -> str:
        tree = merkle.Growing()
        for body in of:
            tree.add(merkle.leaf_hash(body))
        kept = keys.Head("log", tree.size, tree.root())
        try:
            verify(bodies=log, notes=[], keys=[], kept=kept)
        except LogBroken as error:
            return error.hint
        return ""

    for size in (0, 1, 6, 9):
        assert against(bodies, bodies[:size]) == ""
    assert "covers 9 entries, but there are only 6" in against(bodies[:6], bodies)
    assert "without a word in the log" in against(bodies[:6], bodies)
    assert "differs from your checkpoint" in against([*bodies[:6], b"{}"], bodies[:7])
    assert "Entry 6 says that a backup was restored" in against(told, bodies)
    assert against(told, bodies[:6]) == "", "what the copy had stands"
    with pytest.raises(keys.BadNote):
        keys.kept(tmp_path / "none", [])
