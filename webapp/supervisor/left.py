"""Folders that a restore was working in when it was killed. They hold what the backup held, the vault's unseal key too.

Whoever restores holds a lock in such a folder, which ends with the process, however it ends: so the next restore beside it, and
the next start of an instance beside it, know which were left, and remove them.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webapp.errors import Conflict

MARK = ".restoring"
NAME = re.compile(r"\.r[0-9a-f]{6}")
"""Short: a socket in the folder may have 100 bytes."""


@contextmanager
def workplace(beside: Path) -> Iterator[Path]:
    """A folder of our own on the same volume, its owner's alone. Removed unless it was given another name."""
    staging = beside.parent / f".r{secrets.token_hex(3)}"
    staging.mkdir(mode=0o700)
    held = os.open(staging / MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (staging / MARK).exists():  # somebody who tidied up was faster than the lock
            raise Conflict("Another restore beside this one was tidying up. Type this again.")
        yield staging
    finally:
        if staging.exists():
            shutil.rmtree(staging)
        os.close(held)


def remove(beside: Path) -> list[Path]:
    """Those that nobody works in any more, removed; which they were. A folder that is not ours, or has no such mark, is left."""
    found = []
    for folder in beside.parent.glob(".r??????") if beside.parent.is_dir() else ():
        if NAME.fullmatch(folder.name) and not folder.is_symlink() and folder.stat().st_uid == os.getuid() and _left(folder):
            shutil.rmtree(folder, ignore_errors=True)  # another may be removing it too
            found.append(folder)
    return found


def _left(folder: Path) -> bool:
    try:
        mark = os.open(folder / MARK, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(mark)
    return True
