"""Ports and ends of processes that tests start."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

BELOW_EPHEMERAL = range(15_000, 32_000)
"""Linux gives outgoing connections ports from 32768 on: one from here is not taken between being chosen and being bound."""


def free_port() -> int:
    """A port of loopback that nobody listens at, and that no connection of somebody else's will be given meanwhile."""
    while True:
        port = random.choice(BELOW_EPHEMERAL)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def ended(process: subprocess.Popen[Any], seconds: float = 20.0) -> int:
    """Ask it to stop, and see to it: a server that waits for its last connections fails no test that has passed."""
    process.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def freeze(pid: int) -> None:
    """Stop it, and return when it has: a signal is on its way for a moment, in which a busy process answers still."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 20
    while not all(one.read_text().rpartition(")")[2].split()[0] in "Tt" for one in Path(f"/proc/{pid}/task").glob("*/stat")):
        assert time.monotonic() < end, f"{pid} does not stop"
        time.sleep(0.002)
