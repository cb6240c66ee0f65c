"""The key that answers are spooled under: replaced while some lie there, by one of many, and not twice in an hour."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from vault import spool_keys
from vault.errors import TooMany
from vault.record import Answered, Live
from vault.secret import Secret
from vault.spool import KEY, KEYS, Spool
from vault.upstreams import upstreams


def answer(number: int) -> Answered:
    live = Live("tok_1", Secret("access"), "bank", ("read",), ("read",), None)
    return Answered("con_1", number, "print", Secret("refresh"), live, False, datetime.now(UTC))


def test_what_lies_there_opens_after_the_key_was_replaced_and_the_key_before_opens_nothing_new(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(KEYS):
        spool.put(answer(number))
        assert spool.rotate(spool.key_made)
    assert [one.fence for one in spool.pending()] == list(range(1, KEYS)), "the oldest of nine keys is gone"
    spool.put(answer(20))
    newest, before = (tmp_path / "spool.key").read_bytes()[:KEY], (tmp_path / "spool.key").read_bytes()[KEY:]
    (tmp_path / "spool.key").write_bytes(before)
    assert 20 not in [one.fence for one in spool.pending()]
    assert len(newest) == KEY
    assert (tmp_path / "spool.key").stat().st_mode & 0o077 == 0


def test_of_many_that_replace_it_one_does(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    seen, done = spool.key_made, list[bool]()
    threads = [threading.Thread(target=lambda: done.append(Spool(tmp_path / "spool").rotate(seen))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False] * 5 + [True]
    assert spool.keys == 2


def test_a_keeper_replaces_it_by_age_and_on_demand_once_an_hour(keeper: KeeperParts, clock: Clock, tmp_path: Path) -> None:
    inside = keeper.inside(clock)
    upstreams(inside).spool = spool = Spool(tmp_path / "spool")
    spool_keys.by_age(inside)
    assert spool.keys == 1
    spool_keys.rotate(inside, {})
    with pytest.raises(TooMany):
        spool_keys.rotate(inside, {})
    old = (clock() - spool_keys.AGE - timedelta(minutes=1)).timestamp()
    os.utime(tmp_path / "spool.key", (old, old))
    spool_keys.by_age(inside)
    spool_keys.by_age(inside)
    assert spool.keys == 3
