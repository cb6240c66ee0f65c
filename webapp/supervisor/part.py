"""One process of the house: started, watched, started again when it dies, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
GRACE = 8.0
"""Seconds from SIGTERM to SIGKILL: longer than gunicorn's own graceful five."""
BACKOFF_MAX = 10.0
STABLE = 20.0
"""A part that ran this long starts again without delay."""
POLL = 0.05
LOG_BYTES = 5_000_000


def die_with(parent: int) -> None:
    """In the child, before exec: SIGTERM when the supervisor dies, even by kill -9. It may have died already."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


@dataclass(frozen=True)
class Part:
    """What to start. `ready` says (it may block) whether it answers."""

    name: str
    words: str
    command: list[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    fds: tuple[int, ...] = ()
    before: Callable[[], None] | None = None
    """Done before each start."""


@dataclass
class Keeper:
    """Keeps one part running. `say` gets sentences for the terminal."""

    part: Part
    logs: Path
    say: Callable[[str], None]
    up: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    process: Process | None = None
    stopping: bool = False
    again: bool = False
    """It is ended to be started anew, and not because something is wrong."""

    @property
    def log(self) -> Path:
        return self.logs / f"{self.part.name}.log"

    async def start(self) -> Process:
        _trim(self.log)
        if self.part.before is not None:
            self.part.before()
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self.process = await spawn(
                self.part.command, self.part.environment, self.part.fds, stdout=descriptor, stderr=descriptor
            )
        finally:
            os.close(descriptor)
        return self.process

    async def run(self) -> None:
        """Until `stop`: start it, and start it again whenever it ends."""
        while not self.stopping:
            began = time.monotonic()
            process = await self.start()
            watch = asyncio.create_task(self._until_ready())
            code = await process.wait()
            watch.cancel()
            if self.again:
                self.failures, self.again = 0, False
                continue
            self.failures = 0 if time.monotonic() - began > STABLE else self.failures + 1
            if self.up.is_set() and not self.stopping:
                self.say(f"{self.part.words}: stopped ({_reason(code)}), starting it again.")
            await asyncio.sleep(min(BACKOFF_MAX, 0.2 * 2 ** min(self.failures, 6)) if self.failures else 0)

    async def _until_ready(self) -> None:
        while not await asyncio.to_thread(self.part.ready):
            await asyncio.sleep(POLL)
        if self.up.is_set():
            self.say(f"{self.part.words}: back.")
        self.up.set()

    async def restart(self, patience: float) -> bool:
        """Once more, in order. Whether the one process that was started then answers, within so many seconds: not another that
        had to take its place."""
        before, fresh, until = self.process, None, time.monotonic() + patience
        self.again = True
        if before is not None:
            await end(before)
        while time.monotonic() < until and not self.stopping:
            await asyncio.sleep(POLL)
            if self.process is before:
                continue
            fresh = fresh or self.process
            if self.process is not fresh or fresh is None or fresh.returncode is not None:
                return False
            if await asyncio.to_thread(self.part.ready):
                return self.process is fresh
        return False

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to its whole group after the grace."""
        self.stopping = True
        if self.process is not None:
            await end(self.process)

    def tail(self, lines: int = 12) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


async def spawn(command: list[str], environment: Mapping[str, str], fds: tuple[int, ...] = (), **streams: Any) -> Process:
    """Start a process that dies with us and that the terminal's Ctrl-C does not reach: stopping has an order."""
    return await asyncio.create_subprocess_exec(
        *command, env=dict(environment), pass_fds=fds, start_new_session=True, preexec_fn=partial(die_with, os.getpid()),
        stdin=streams.pop("stdin", asyncio.subprocess.DEVNULL), **streams,
    )


async def end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _reason(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"code {code}"


def _trim(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
