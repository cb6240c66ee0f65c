"""A part is started again when it dies, stopped in order, and never outlives the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from webapp.supervisor.part import Keeper, Part

SLEEP = "import time; time.sleep(600)"
TALKING = "import time; print('a line', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def part(code: str, name: str = "part") -> Part:
    return Part(name, "Part", [sys.executable, "-c", code], dict(os.environ), ready=lambda: True)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


def test_a_part_that_is_killed_comes_back(tmp_path: Path) -> None:
    said: list[str] = []

    async def scene() -> None:
        keeper = Keeper(part(SLEEP), tmp_path, said.append)
        running = asyncio.create_task(keeper.run())
        await until(keeper.up.is_set)
        assert keeper.process is not None
        first = keeper.process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.process is not None and keeper.process.pid != first)
        await until(lambda: len(said) == 2)
        await keeper.stop()
        await running

    asyncio.run(scene())
    assert said == ["Part: stopped (by SIGKILL), starting it again.", "Part: back."]


def test_a_part_that_is_started_anew_in_order_is_no_failure(tmp_path: Path) -> None:
    said: list[str] = []

    async def scene() -> None:
        keeper = Keeper(part(SLEEP), tmp_path, said.append)
        running = asyncio.create_task(keeper.run())
        await until(keeper.up.is_set)
        before = keeper.process
        assert await keeper.restart(60)
        assert before is not None
        assert before.returncode == -signal.SIGTERM
        assert keeper.process is not before
        await keeper.stop()
        await running

    asyncio.run(scene())
    assert [one for one in said if "stopped" in one] == []


def test_one_that_dies_at_its_new_start_is_not_taken_for_the_next_one_that_lives(tmp_path: Path) -> None:
    """As a vault that does not open with the key that it is given: the start after it has another configuration."""
    marker = tmp_path / "dies"
    dies = f"import pathlib, sys, time; m = pathlib.Path({str(marker)!r}); m.exists() and (m.unlink(), sys.exit(3)); {SLEEP}"

    async def scene() -> bool:
        started: list[int] = []
        made = Part("part", "Part", [sys.executable, "-c", dies], dict(os.environ), ready=lambda: len(started) != 2,
                    before=lambda: started.append(1))
        keeper = Keeper(made, tmp_path, lambda _text: None)
        running = asyncio.create_task(keeper.run())
        await until(keeper.up.is_set)
        marker.touch()
        answered = await keeper.restart(60)
        await keeper.stop()
        await running
        return answered

    assert not asyncio.run(scene())


def test_a_part_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.supervisor.part.GRACE", 0.3)

    async def scene() -> int | None:
        keeper = Keeper(part(STUBBORN), tmp_path, lambda _text: None)
        running = asyncio.create_task(keeper.run())
        await until(lambda: keeper.log.exists() and "up" in keeper.log.read_text())
        await keeper.stop()
        await running
        assert keeper.process is not None
        return keeper.process.returncode

    assert asyncio.run(scene()) == -signal.SIGKILL


def test_what_a_part_says_goes_to_a_log_of_its_owner(tmp_path: Path) -> None:
    async def scene() -> Keeper:
        keeper = Keeper(part(TALKING), tmp_path, lambda _text: None)
        running = asyncio.create_task(keeper.run())
        await until(lambda: keeper.tail() == "a line")
        await keeper.stop()
        await running
        return keeper

    keeper = asyncio.run(scene())
    assert keeper.log.stat().st_mode & 0o777 == 0o600


PARENT = """
import asyncio, sys
from webapp.supervisor.part import spawn
async def main():
    child = await spawn([sys.executable, "-c", "import time; time.sleep(600)"], {})
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_part_dies_with_a_supervisor_that_is_killed() -> None:
    """kill -9 leaves no time to clean up: the kernel tells the children (prctl PR_SET_PDEATHSIG)."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(60)
    assert not child.is_running()
