"""Whoever replaces a key dies, at each point: the next run finishes it, the log announces each version once, and nothing that was
wrapped is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, until
from tests.rotating_parts import Near, keepers, vault_alone
from tests.webapp.approvals.parts import action, draft, held
from vault.door import Door, KeyVersion
from vault.table import Keeper
from webapp import audit, rotating
from webapp.approvals import seeing
from webapp.approvals.tables import Payload
from webapp.audit import keys
from webapp.audit.tables import Checkpoint, Entry
from webapp.audit.verify import stored_bodies, stored_notes, verify
from webapp.config import Settings
from webapp.config_approvals import Approvals
from webapp.db import Database
from webapp.db.due import Due
from webapp.jobs import CLAIM, Worker, claim_some, release
from webapp.web.house import House

pytestmark = pytest.mark.both
REWRAP = (rotating.REWRAP, "all")


class Died(BaseException):
    """The process ends here: nobody catches it."""


class Line(Near):
    """Dies at one request to the keeper, the `count`-th of its name: before it was heard, or before its answer was."""

    def __init__(self, made: list[Keeper]) -> None:
        super().__init__(made)
        self.doom: tuple[str, str] = ("", "")
        self.count = 1

    def ask(self, name: str, timeout: float | None = None, /, *, again: bool = False, **body: Any) -> dict[str, Any]:
        self._die("before", name)
        answer = super().ask(name, timeout, again=again, **body)
        self._die("after", name)
        return answer

    def _die(self, point: str, name: str) -> None:
        if self.doom == (point, name):
            self.count -= 1
            if self.count == 0:
                self.doom = ("", "")
                raise Died


@pytest.fixture
def line(clock: Clock) -> Iterator[Line]:
    with vault_alone() as parts:
        yield Line(keepers(parts, clock)[0])


@pytest.fixture
def house(database: Database, line: Line, clock: Clock, tmp_path: Path) -> House:
    """The clock leaps: no entry has waited too long for that."""
    door = Door(tmp_path / "none.sock")
    door.__dict__["_line"] = line
    limits = Approvals(log_stalled=600, quick_row=0)
    settings = Settings(instance=tmp_path, public_url=PUBLIC_URL, database_url=database.url, approvals=limits)
    return House(settings, database, door, clock)


def worked(house: House) -> set[tuple[str, str]]:
    """One look of a worker: what was due of rotations."""
    worker, now = Worker(house, rotating.jobs), house.clock()
    found = house.database.write(lambda s: claim_some(s, worker.name, now, 100))
    rows = [row for row in found if row.kind in rotating.jobs]
    for row in rows:
        again, failed = worker.work(row)
        assert failed is None
        house.database.write(lambda s, row=row, again=again: release(s, row, worker.name, again))  # type: ignore[misc]
    return {(row.kind, row.key) for row in rows}


@contextmanager
def dies_at(line: Line, point: str, name: str = "rotate", count: int = 1) -> Iterator[None]:
    line.doom, line.count = (point, name), count
    yield


@contextmanager
def dies_in(patched: pytest.MonkeyPatch, where: object, name: str, count: int = 1, *, early: bool = False) -> Iterator[None]:
    """When it has done its work and nobody is told: in a transaction, before that is committed. Or before it (`early`)."""
    real, left = getattr(where, name), [count]

    def done(*given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            if not early:
                real(*given, **named)
            raise Died
        return real(*given, **named)

    with patched.context() as patch:
        patch.setattr(where, name, done)
        yield


def said(house: House, key: str, kind: str, what: str) -> list[int]:
    with house.database.read() as session:
        found = session.scalars(select(Entry.body).where(Entry.kind == kind, Entry.subject == key).order_by(Entry.id)).all()
    return [json.loads(body)["detail"][what] for body in found]


def test_a_rotation_that_is_cut_off_is_finished_by_the_next_run_and_said_once(
    house: House, line: Line, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the keys: after `key.rotating` and before the vault hears of it; when the vault has made it and nobody heard so;
    when `key.rotated` is written and not committed; and when it is committed and not yet under a checkpoint."""
    house.door.log_head()
    keys.learn(house)
    deaths: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "made": lambda: dies_at(line, "after"), "asked": lambda: dies_at(line, "before"),
        "unsaid": lambda: dies_in(monkeypatch, rotating, "_done"),
        "unsigned": lambda: dies_in(monkeypatch, audit, "covered", early=True),
    }
    for key in sorted(rotating.KEYS, key=lambda one: one != "audit"):
        for point, death in list(deaths.items())[:4 if key == "audit" else 3]:
            before = house.door.key_version(key).version
            with death(), pytest.raises(Died):
                rotating.rotate(house, key, "cli")
            newest = house.door.key_version(key).version
            assert newest == before + (point != "asked")
            assert (rotating.FINISH, key) not in worked(house), "whoever began it may be at it still"
            clock.forward(seconds=rotating.UNFINISHED.total_seconds())
            assert (rotating.FINISH, key) in worked(house)
            assert said(house, key, "key.rotated", "version") == list(range(2, newest + 1)), (key, point)
            if (key, point) == ("audit", "made"):
                _under_the_older_key(house)
            clock.forward(days=8)
        again = rotating.rotate(house, key, "cli")
        assert said(house, key, "key.rotated", "version") == list(range(2, again.version + 1))
    audit.sequence(house)
    with house.database.read() as session:
        pinned = keys.pinned(house.settings.instance / keys.FILE)
        assert len(pinned) == house.door.key_version("audit").version
        assert verify(bodies=stored_bodies(session), notes=stored_notes(session), keys=pinned).pending == 0


def _under_the_older_key(house: House) -> None:
    """The log's next key is announced as if nobody had died: whoever knows the first key can learn of it from the log alone."""
    first, second = (house.settings.instance / keys.FILE).read_text().splitlines()
    with house.database.read() as session:
        entry = session.scalars(select(Entry).where(Entry.kind == "key.rotated", Entry.subject == "audit")).one()
        note = session.scalars(select(Checkpoint.note).where(Checkpoint.size > entry.place).order_by(Checkpoint.size)).first()
    assert second in entry.body.decode()
    keys.open_note(str(note), [keys.VerifierKey.parse(first)])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_types_it_again_after_it_was_cut_off_gets_the_version_that_was_made(house: House, line: Line) -> None:
    for key in ("authority", "app", "ca"):
        with dies_at(line, "after"), pytest.raises(Died):
            rotating.rotate(house, key, "cli")
        assert rotating.rotate(house, key, "cli") == house.door.key_version(key)
        assert said(house, key, "key.rotated", "version") == [2]


def test_a_batch_that_is_cut_off_loses_nothing_and_the_next_run_goes_on(
    house: House, line: Line, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second batch: before the vault is asked, when it has answered, and when the rows are moved but not committed. Then
    the older versions are retired, which is cut off too."""
    monkeypatch.setattr(rotating, "BATCH", 2)
    made = [held(house, draft(house, f"per_{number}")) for number in range(5)]
    deaths: list[Callable[[], AbstractContextManager[None]]] = [
        lambda: dies_at(line, "before", "rewrap", 2), lambda: dies_at(line, "after", "rewrap", 2),
        lambda: dies_in(monkeypatch, rotating, "_move", 2),
    ]
    for version, death in enumerate(deaths, 2):
        rotating.rotate(house, "payload", "cli")
        with death(), pytest.raises(Died):
            worked(house)
        assert _left(house, version) == 3, "the first batch was moved, and of the second nothing"
        for one in made:
            assert seeing.open_(house, one).document.digest == action(house, one).digest
        _gone_on(house, clock, version)
        clock.forward(days=2)
        with dies_at(line, "before" if version == 3 else "after", "retire_payload"), pytest.raises(Died):
            worked(house)
        clock.forward(seconds=CLAIM.total_seconds() + 1)
        assert REWRAP in worked(house)
        assert house.door.key_version("payload").oldest == version
        assert said(house, "payload", "key.retired", "before") == list(range(2, version + 1))
        with house.database.read() as session:
            assert session.scalars(select(Due.id).where(Due.kind == rotating.REWRAP)).all() == []
    for one in made:
        assert seeing.open_(house, one).document.digest == action(house, one).digest


def _gone_on(house: House, clock: Clock, version: int) -> None:
    """When the claim of the dead has run out."""
    assert REWRAP not in worked(house)
    clock.forward(seconds=CLAIM.total_seconds() + 1)
    assert REWRAP in worked(house)
    assert _left(house, version) == 0
    clock.forward(seconds=rotating.SETTLED.total_seconds() + 1)


def _left(house: House, version: int) -> int:
    with house.database.read() as session:
        return len(session.scalars(select(Payload.action).where(Payload.wrapped.not_like(f"vault:v{version}:%"))).all())


def test_two_workers_that_finish_one_rotation_announce_it_once(database: Database, clock: Clock) -> None:
    """The second begins when the first has written its entry and has not committed it. On PostgreSQL it neither sees that entry
    nor is held up by it, if nothing else stops it."""
    house = House(Settings(public_url=PUBLIC_URL, database_url=database.url), database, Door(Path("none.sock")), clock)
    made = KeyVersion(2, clock(), clock(), 1)
    second = Database(database.url)
    done: list[list[str]] = []
    thread = threading.Thread(target=lambda: done.append(
        second.write(lambda s: rotating._done(s, house, "marks", "system", made, {"version": 2}))
    ))

    def first(session: Session) -> list[str]:
        found = rotating._done(session, house, "marks", "system", made, {"version": 2})
        thread.start()
        if session.get_bind().dialect.name == "postgresql":
            until(lambda: bool(done) or waits(session), "the second waits, or has gone past")
        return found

    done.append(database.write(first))
    thread.join(60)
    second.close()
    assert sorted(map(len, done)) == [0, 1]
    assert said(house, "marks", "key.rotated", "version") == [2]


def waits(session: Session) -> bool:
    return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")))
