"""One supervisor for one instance."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webapp.errors import Conflict


@contextmanager
def copying(instance: Path) -> Iterator[None]:
    """Of those that copy the vault's keys, and that replace them, one at a time. Raises Conflict."""
    run = instance / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(run / "backup.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            words = "Another backup of this instance is being taken, or its unseal key replaced. Try again later."
            raise Conflict(words) from error
        yield


def take(instance: Path) -> int:
    """Take the instance; the descriptor holds it until this process ends. Raises Conflict, naming who has it."""
    folder = instance / "run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise Conflict(
            f"The instance in {instance} is running already (process {holder}). Stop that one, or start another with "
            "INSTANCE=folder PORT=number.", code="instance_in_use",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
