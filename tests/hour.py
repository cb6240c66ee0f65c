"""Workers that can be killed, and others in their place within milliseconds: `python -m tests.hour DATABASE CLOCK`.

It imports what a worker needs, once, and then forks one for each line it reads (the door's socket), answering with its process
id. Each is the real loop (`webapp.jobs.Worker`) over the real jobs of accounts, under a clock that lies in a file (seconds since
1970). All of them end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.keeper_parts import PUBLIC_URL, ROOT

PACE = 150
"""Renewals a minute at one provider, in each worker (`rotation.renewals_per_minute`)."""


@dataclass
class Workers:
    """Those that this test started; `dead` are the names of those it killed."""

    process: subprocess.Popen[str]
    dead: set[str] = field(default_factory=set)

    def start(self, door: Path) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{door}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.dead.add(name(pid))


def name(pid: int) -> str:
    return f"worker-{pid}"


@contextmanager
def serve(database: str, clock: Path, log: Path) -> Iterator[Workers]:
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.hour", database, str(clock)], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
        )
    try:
        yield Workers(process)
    finally:
        process.communicate()  # its input ends, and it with all of its own


def worked(database: str, door: str, clock: Path) -> None:
    from vault.door import Door
    from webapp.broker import jobs as broker
    from webapp.config import Rotation, Settings
    from webapp.connections import jobs as connections
    from webapp.db import Database
    from webapp.jobs import Worker
    from webapp.web.house import House

    def now() -> datetime:
        return datetime.fromtimestamp(float(clock.read_text()), UTC)

    # The keeper's own instance: there the provider's facts are. Ten thousand in an hour are 84 a minute for each of two workers.
    limits = Rotation(renewals_per_minute=PACE)
    settings = Settings(instance=Path(door).parents[2], public_url=PUBLIC_URL, database_url=database, rotation=limits)
    house = House(settings, Database(database), Door(Path(door)), now)
    Worker(house, {**connections.jobs, **broker.jobs}, name=name(os.getpid())).run()


def main(database: str, clock: Path) -> None:
    import webapp.broker.jobs
    import webapp.connections.jobs
    import webapp.jobs  # noqa: F401 what a worker needs, before there is one

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ours: list[int] = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            worked(database, line.strip(), clock)
            os._exit(0)
        ours.append(pid)
        print(pid, flush=True)
    for pid in ours:
        _kill(pid)


def _kill(pid: int) -> Any:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
