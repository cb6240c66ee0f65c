"""A running `counterseal up --evaluation`, started as a newcomer would start it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from webapp.cli import main; main()"]
PATIENCE = 120.0
"""Far beyond what it takes; only a hang meets it."""


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"it never came to it that {what}"
        time.sleep(0.1)
    return found


@dataclass
class Up:
    """A running `counterseal up` on an instance folder."""

    instance: Path
    process: subprocess.Popen[bytes]
    out: Path

    @property
    def url(self) -> str:
        found = re.search(r"Counterseal is running: (\S+)", self.out.read_text())
        return found.group(1) if found else ""

    def wait(self) -> None:
        until(lambda: self.url or self.process.poll() is not None, "it is up")
        assert self.process.poll() is None, self.out.read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, word: str) -> psutil.Process:
        return next(child for child in self.children() if word in " ".join(child.cmdline()))

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        try:
            with urlopen(Request(self.url + path, headers=headers), timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, HTTPException):  # no answer, half of one, or none in time
            return 0, ""

    def link(self) -> str:
        subprocess.run([*COMMAND, "link", "--instance", str(self.instance)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return (self.instance / "run" / "link").read_text().strip()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


def start(instance: Path, *more: str) -> Up:
    out = instance.with_suffix(".out")
    with out.open("wb") as file:
        command = [*COMMAND, "up", "--evaluation", "--port", "0", "--instance", str(instance), *more]
        return Up(instance, subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT), out)
