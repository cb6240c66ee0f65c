"""What the tests of whole instances share: the `counterseal` command, processes with their logs, free ports, and waiting."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.keeper_parts import ROOT

CLI = [sys.executable, "-c", "from webapp.cli import main; main()"]
"""The command of this checkout, whatever is installed."""
PATIENCE = 90.0
"""Seconds until a condition that does not come true fails the test: long, for slow machines."""


def command(*words: str, environment: Mapping[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `counterseal WORDS` to its end."""
    done = subprocess.run(
        [*CLI, *words], cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=120,
    )
    assert not check or done.returncode == 0, f"counterseal {' '.join(words)}: {done.stdout}{done.stderr}"
    return done


@contextmanager
def short_folder(prefix: str) -> Iterator[Path]:
    """A folder under /tmp: a socket's path may have 107 bytes, and pytest's own folders are deep."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Running:
    """A process of ours, its output in a file. It is in a session of its own, so that a kill reaches all of it."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9, to the process and its children: nothing gets to say goodbye."""
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(60)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Ask it to stop, and wait: its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode


def start(words: list[str], log: Path, environment: Mapping[str, str], folder: Path = ROOT) -> Running:
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )
    return Running(process, log)
