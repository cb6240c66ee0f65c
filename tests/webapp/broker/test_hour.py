"""An hour in which every account is renewed once, for its refresh token would end unused, by two workers of which one is killed
every minute: nobody's renewal is late by more than its jitter, no refresh token is lost, and none is shown twice.

The rows are the schedule's own (`webapp.connections.idle`): each account is due when the product says so of an account that was
connected when this one was, and its pace is the one that operators set, here one that lets ten thousand through in an hour.

The hour is a file that the workers take for their clock (`tests.hour`). The test moves it, faster than time passes, but not while
work that is due waits for workers that are alive: so a slow machine is no reason to fail, and what makes a renewal late is the
death of whoever had it. That this clock is never slower than the real one says that the workers keep up. All is real but the
provider, which ends all of a consent when one of its refresh tokens is shown twice. The keepers keep to the real time.
"""

from __future__ import annotations

import random
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import and_, func, insert, not_, select

from tests.figures import Figures
from tests.fleet import Fleet, running
from tests.hour import Workers, serve
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted
from tests.scripted_provider import serve as scripted
from tests.vault.accounts import name_of
from vault.providers import catalogue
from vault.record import Record, fingerprint
from vault.renewal import load, save
from vault.secret import Secret
from vault.table import Keeper
from webapp.connections import idle
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.due import Due
from webapp.ids import new_id

JITTER = timedelta(minutes=5)
"""How late a renewal may be. The claim of a worker that was killed lives for two minutes (`webapp.jobs.CLAIM`)."""
KILLED_EVERY, HOUR = timedelta(minutes=1), timedelta(hours=1)
SCOPES = ("accounts:read", "payees:read", "payments:send")
PROVIDER = "hour"
FACTS = "{extends: harbour, revoke_style: none, revoke_effect: none, ends_access: false, refresh_idle_days: 1}"
"""Renewals alone are counted here: it cannot be told of tokens that nobody uses any more."""
TICK = 0.05
"""Seconds of the real time between two looks."""
STEP = 3.0
"""Seconds that the clock moves at most between two looks."""
SLACK = timedelta(seconds=20)

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def fleet(keeper_session: KeeperParts) -> Iterator[Fleet]:
    """A keeper beside each worker, each on a volume of its own."""
    keeper_session.mend()
    with running(keeper_session, 2, 2, {PROVIDER: FACTS}) as made:
        yield made


@pytest.fixture
def provider(fleet: Fleet) -> Iterator[Scripted]:
    with scripted(reuse_kills=True) as made:
        fleet.doors[0].provider_put(PROVIDER, made.record())
        yield made


@dataclass
class Hour:
    """The accounts, when each is due, and the clock. `due` is by the refresh token that the account has at the beginning."""

    database: Database
    workers: Workers
    doors: list[Path]
    clock: Path
    began: datetime
    now: datetime
    due: dict[str, datetime]
    moments: list[float] = field(default_factory=list)
    told: list[datetime] = field(default_factory=list)
    """What the clock said from each of these moments on (`time.monotonic`)."""
    killed: int = 0
    alive: list[int] = field(default_factory=list)

    def move(self, to: datetime) -> None:
        self.now = to
        draft = self.clock.with_suffix(".draft")
        draft.write_text(repr(to.timestamp()))
        draft.replace(self.clock)
        self.moments.append(time.monotonic())
        self.told.append(to)

    def left(self) -> int:
        """The next time of one that was renewed is hours from now."""
        with self.database.read() as session:
            due = select(func.count()).select_from(Due).where(Due.run_at < self.began + 2 * HOUR)
            return session.scalar(due) or 0

    def waiting(self) -> int:
        """What was due a while ago, and is not in the hands of somebody who died."""
        lost = and_(Due.claimed_by.in_(self.workers.dead), Due.claimed_until >= self.now)
        with self.database.read() as session:
            found = session.scalars(select(Due.id).where(Due.run_at <= self.now - SLACK, not_(func.coalesce(lost, False))))
            return len(found.all())

    def kill_one(self) -> None:
        """In turn; another takes its place at once."""
        at = self.killed % len(self.alive)
        self.workers.kill(self.alive[at])
        self.alive[at] = self.workers.start(self.doors[at])
        self.killed += 1

    def pass_(self, length: timedelta, speed: float) -> None:
        """Until the hour is over and nothing is left to do. It is to take no longer than an hour that is one."""
        self.alive = [self.workers.start(door) for door in self.doors]
        end = self.moments[-1] + length.total_seconds() + 300
        while self.now < self.began + length or self.left():
            assert self.moments[-1] < end, f"{self.left()} are left"
            if self.now - self.began >= KILLED_EVERY * (self.killed + 1) and self.now < self.began + length:
                self.kill_one()
            time.sleep(TICK)
            passed = 0.0 if self.waiting() else min(STEP, speed * (time.monotonic() - self.moments[-1]))
            self.move(self.now + timedelta(seconds=passed))

    def at(self, moment: float) -> datetime:
        """What the clock said then."""
        return self.told[max(0, bisect_right(self.moments, moment) - 1)]

    def slowest(self) -> float:
        """How long the longest minute of it took, in seconds."""
        marks = [self.began + timedelta(minutes=n) for n in range(int((self.now - self.began).total_seconds() // 60) + 1)]
        times = [self.moments[max(0, bisect_right(self.told, mark) - 1)] for mark in marks]
        return max(after - before for before, after in pairwise(times))


def accounts(keeper: Keeper, database: Database, provider: Scripted, count: int, length: timedelta) -> dict[str, datetime]:
    """In the vault and in the database as a consent leaves them, long enough ago for each to be due in this hour."""
    began, spread = datetime.now(UTC), random.Random(count)
    facts = catalogue.load(keeper.settings.instance, local=True)[PROVIDER]

    def one(number: int) -> tuple[str, str, datetime]:
        connection, token = name_of("con"), str(provider.issue(" ".join(SCOPES))["refresh_token"])
        record = Record(
            person=f"per_{number}", provider=PROVIDER, entry=PROVIDER, account=f"acc-{number}", label=f"Account {number}",
            scopes=SCOPES, status="active", refresh=Secret(token), print=fingerprint(Secret(token)),
        )
        save(keeper, connection, record, 0)
        after = idle.renew_at(facts, connection, began)
        assert after is not None
        return connection, token, began + length * spread.random() - (after - began)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(one, range(count)))
    rows = [
        {"id": connection, "person": f"per_{number}", "provider": PROVIDER, "account": f"acc-{number}", "name": "",
         "label": f"Account {number}", "scopes": list(SCOPES), "status": "active", "created_at": at, "connected_at": at}
        for number, (connection, _token, at) in enumerate(made)
    ]
    when = {token: idle.renew_at(facts, connection, at) for connection, token, at in made}
    due = [
        {"id": new_id("due"), "kind": idle.RENEW, "key": connection, "run_at": when[token], "payload": {}, "attempts": 0}
        for connection, token, _at in made
    ]
    database.write(lambda s: (s.execute(insert(Connection), rows), s.execute(insert(Due), due)))
    return {token: at for token, at in when.items() if at is not None}


@pytest.fixture
def inside(fleet: Fleet) -> Iterator[Keeper]:
    made = fleet.inside()
    yield made
    made.vault.wire.close()


@pytest.fixture
def begun(
    keeper: KeeperParts, inside: Keeper, fleet: Fleet, database: Database, provider: Scripted, tmp_path: Path
) -> Iterator[Callable[[int, timedelta], Hour]]:
    assert keeper
    clock = tmp_path / "clock"
    with serve(database.url, clock, tmp_path / "log") as workers:
        def begin(count: int, length: timedelta) -> Hour:
            due, now = accounts(inside, database, provider, count, length), datetime.now(UTC)
            made = Hour(database, workers, [door.socket for door in fleet.doors], clock, now, now, due)
            made.move(now)
            return made

        yield begin


def renewed(hour: Hour, provider: Scripted) -> list[float]:
    """How late each was for the first time, in seconds of that hour, the latest last."""
    heard = zip(provider.refreshes, provider.times, strict=True)
    at = {form["refresh_token"]: hour.at(moment) for form, moment in heard}
    return sorted((at[token] - due).total_seconds() for token, due in hour.due.items())


def passed(hour: Hour, inside: Keeper, provider: Scripted, length: timedelta, speed: float, figures: Figures) -> None:
    began = time.monotonic()
    hour.pass_(length, speed)
    late = renewed(hour, provider)
    with hour.database.read() as session:
        names = list(session.scalars(select(Connection.id).where(Connection.status == "active")))
    held = {record.refresh.reveal() for record in (load(inside, one)[0] for one in names) if record.refresh is not None}
    what = f"{length.total_seconds() / 60:.0f} minutes of renewals"
    figures.add(f"{what}: accounts renewed", len(late))
    figures.add(f"{what}: workers killed", hour.killed)
    figures.add(f"{what}: refresh tokens lost", len(hour.due) - len(held & provider.living))
    figures.add(f"{what}: refresh tokens shown twice", sum(count > 1 for count in provider.shown().values()))
    figures.add(f"{what}: seconds late in the middle", round(statistics.median(late)))
    figures.add(f"{what}: seconds late at most (jitter: {JITTER.total_seconds():.0f})", round(late[-1]))
    figures.add(f"{what}: seconds that it took", round(time.monotonic() - began))
    figures.add(f"{what}: seconds that its longest minute took", round(hour.slowest()))
    assert held == provider.living, "what the vault holds is what the provider knows"
    assert len(held) == len(names) == len(hour.due)
    assert set(provider.shown().values()) == {1}
    assert late[-1] <= JITTER.total_seconds()


def test_four_minutes_of_it(
    begun: Callable[[int, timedelta], Hour], inside: Keeper, provider: Scripted, figures: Figures
) -> None:
    length = timedelta(minutes=4)
    hour = begun(160, length)
    passed(hour, inside, provider, length, 60, figures)
    assert hour.killed == 3


@pytest.mark.long
def test_ten_thousand_accounts_in_an_hour(
    begun: Callable[[int, timedelta], Hour], inside: Keeper, provider: Scripted, figures: Figures
) -> None:
    """Takes five to ten minutes on two quiet cores: ten thousand renewals, each with all that a real one writes."""
    hour = begun(10_000, HOUR)
    passed(hour, inside, provider, HOUR, 12, figures)
    assert hour.killed == 59
    assert hour.slowest() < 60, "the workers keep up with a real hour"
