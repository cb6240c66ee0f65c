"""The instance's OpenBao, for as long as a backup or a restore needs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vault import embedded
from webapp.errors import Conflict, Unavailable
from webapp.supervisor import lock

PATIENCE = 60.0
"""Seconds until a vault that does not open is given up."""
STOP = 15.0
DIES_WITH_US = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM: kept across exec
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A process of its own sets this: code between fork and exec may hang where there are threads."""
POLL = 0.1


@contextmanager
def vault_of(instance: Path) -> Iterator[bool]:
    """Its OpenBao, running: that of `counterseal up`, or, while nothing runs (then the answer is False, and nothing is started
    beside it), one of our own."""
    held = _free(instance)
    if held is None:
        yield True
        return
    try:
        with started(instance):
            yield False
    finally:
        os.close(held)


def _free(instance: Path) -> int | None:
    """The instance's lock, or None where `up` has it."""
    try:
        return lock.take(instance)
    except Conflict:
        return None


@contextmanager
def started(
    instance: Path, extra: Sequence[embedded.Request] = (), more: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Start it, wait until the keeper could log in, and stop it at the end, also when we are killed. Raises Unavailable."""
    embedded.prepare(instance, extra)
    command = [sys.executable, "-I", "-S", "-c", DIES_WITH_US, str(os.getpid()), *embedded.command(instance)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**embedded.environment(instance), **(more or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, umask=0o077,
        )
        try:
            wait(lambda: _answers(instance, process), "The vault did not open.")
            yield
        finally:
            _stop(process)


def wait(true: Callable[[], bool], otherwise: str) -> None:
    """Raises Unavailable after a minute."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise Unavailable(otherwise)
        time.sleep(POLL)


def _answers(instance: Path, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise Unavailable("The vault could not be started: another program may be using its files.")
    return embedded.ready(instance)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
