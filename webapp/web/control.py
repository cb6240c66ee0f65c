"""How the web process and the command line ask the supervisor: one JSON line over a unix socket in the instance's 0700 folder."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from webapp.errors import Conflict, Unavailable, said

SOCKET = "control.sock"
TIMEOUT = 10
LONGEST = 65_536


@contextmanager
def short_path(instance: Path) -> Iterator[str]:
    """A name for the socket that is short however long the instance's path is (the kernel allows 108 bytes)."""
    folder = os.open(instance / "run", os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def ask(instance: Path, timeout: float = TIMEOUT, /, **request: Any) -> dict[str, Any]:
    """`timeout` in seconds. Raises Unavailable when no supervisor answers, or not in time; Conflict with its words when it
    refuses."""
    try:
        with short_path(instance) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile("rb").readline(LONGEST))
    except TimeoutError as error:
        raise Unavailable(
            "The supervisor has not answered yet and may still be at work. See what it did before you try again.",
            code="no_answer",
        ) from error
    except (OSError, ValueError) as error:
        hint = said("The instance in %(instance)s is not running. Start it with: make run", instance=str(instance))
        raise Unavailable(hint, code="not_running", detail=str(error)) from error
    if "refused" in answer:
        raise Conflict(answer["refused"])
    return answer
