"""The file's encryption: age (https://age-encryption.org/v1), by the library of its Rust implementation.

X25519 to the recipient; the header under a MAC; the content in chunks of 64 KiB, each authenticated, the last one marked: a file
that was altered or cut off anywhere does not open. Anybody can write a file to a recipient: it says who can read it, not who
wrote it.
What is fed in and taken out goes through a pipe, so that nothing of it is in clear on a disk.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pyrage
from pyrage import x25519

from vault.errors import KeeperError
from webapp.errors import BadInput, CountersealError

T = TypeVar("T")
SECRET = "AGE-SECRET-KEY-"  # noqa: S105 how an identity begins
LARGEST_KEYS = 100_000
BROKEN = "The file is not whole: it was cut off or altered, or it is no backup. Nothing was put in place."
NOT_YOURS = "This identity cannot open the file: it was made for another recipient. Nothing was put in place."


def make_identity(path: Path) -> str:
    """Write a new identity (0600) to a file that is not there yet; its recipient, which anyone may see. Raises BadInput."""
    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}. An identity is never written over another file.") from error
    with os.fdopen(handle, "w") as file:
        file.write(f"# recipient: {recipient}\n{identity}\n")
        file.flush()
        os.fsync(file.fileno())
    return recipient


def recipients(path: Path) -> list[Any]:
    """Of a file with one recipient (`age1…`) a line. Raises BadInput."""
    lines = _lines(path)
    if any(line.upper().startswith(SECRET) for line in lines):
        raise BadInput(f"{path} is an identity, which opens backups: keep it elsewhere. Name a file with its recipient (age1…).")
    try:
        return [x25519.Recipient.from_str(line) for line in lines]
    except pyrage.RecipientError as error:
        raise BadInput(f"{path} has a line that is no recipient (age1…).") from error


def identities(path: Path) -> list[Any]:
    """Of a file as `make_identity` or `age-keygen` writes it. Raises BadInput; says nothing of what is in the file."""
    try:
        return [x25519.Identity.from_str(line) for line in _lines(path)]
    except pyrage.IdentityError as error:
        raise BadInput(f"{path} has a line that is no identity.") from error


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_KEYS).decode()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} holds no keys.") from error
    found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not found:
        raise BadInput(f"{path} holds no keys.")
    return found


def seal(feed: Callable[[BinaryIO], None], out: BinaryIO, to: Sequence[Any]) -> None:
    """Encrypt to `out` what `feed` writes. What either raises is raised; `out` is worth nothing then."""
    reader, writer = _pipe()
    done = _Aside(lambda: pyrage.encrypt_io(reader, out, list(to)), reader)
    try:
        with writer:
            feed(writer)
    except BrokenPipeError:
        done.join()  # raises why it stopped reading
        raise
    done.join()


def unseal(source: BinaryIO, keys: Sequence[Any], eat: Callable[[BinaryIO], T]) -> T:
    """Give `eat` what was sealed, chunk by chunk as it verifies; what it returned, once the last one has. Raises BadInput."""
    reader, writer = _pipe()
    done = _Aside(lambda: pyrage.decrypt_io(source, writer, list(keys)), writer)
    try:
        with reader:
            result = eat(reader)
            while reader.read(1 << 20):  # what comes behind it has to verify too
                pass
    except (CountersealError, KeeperError, OSError, tarfile.TarError, EOFError):
        if not done.stopped_by_us:
            done.join()  # what was eaten broke off because the file did not verify
        raise
    done.join()
    return result


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")


class _Aside:
    """The library's half, on a thread: it closes its end of the pipe when it ends, whichever way."""

    def __init__(self, work: Callable[[], None], end: BinaryIO) -> None:
        self._work, self._end = work, end
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="age", daemon=True)
        self._thread.start()

    @property
    def stopped_by_us(self) -> bool:
        """It ended well, or because nobody read on."""
        self._thread.join()
        return self._error is None or "Broken pipe" in str(self._error)

    def join(self) -> None:
        """Raises BadInput for what does not open, and what writing raised."""
        self._thread.join()
        if isinstance(self._error, pyrage.DecryptError) and "No matching keys" in str(self._error):
            raise BadInput(NOT_YOURS) from self._error
        if self._error is not None and not isinstance(self._error, pyrage.EncryptError):
            raise BadInput(BROKEN, detail=str(self._error)) from self._error
        if self._error is not None:
            raise BadInput(f"The backup could not be written: {self._error}") from self._error

    def _run(self) -> None:
        try:
            self._work()
            self._end.flush()
        except Exception as error:  # noqa: BLE001 raised again by whoever waits
            self._error = error
        finally:
            with contextlib.suppress(BrokenPipeError):
                self._end.close()
