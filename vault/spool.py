"""Providers' answers, durable before they are used: one encrypted file for each, fsynced, removed when the vault has it.

The folder must be on a durable volume. The key lies beside it, 0600: it keeps tokens out of copies of the spool folder, not
from somebody who reads this whole disk as the keeper's user.

The volume has a name of its own, random and made once, and a note of each claim that is made beside it, before the provider is
asked: whoever comes to the volume later finds what has to be settled (`vault.volumes`).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.record import Answered, Claim

log = logging.getLogger("counterseal.keeper.spool")
NONCE, KEY = 12, 32
KEYS = 8
"""Kept in the key's file, the newest first. What is spooled is there for seconds, or for as long as the vault is away."""
ASKED = ".asked"


@dataclass(frozen=True)
class Asked:
    """Somebody here was about to ask the provider, or has. After `until` they are not asking any more."""

    connection: str
    holder: str
    until: datetime


@dataclass(frozen=True)
class Spool:
    """Files are named `<connection>.<fence>`; connection ids hold no dot and no slash."""

    folder: Path

    def put(self, answer: Answered) -> Path:
        """Durable when this returns: file and folder are synced."""
        self._prepare()
        path = self.folder / f"{answer.connection}.{answer.fence}"
        _durable(path, self._seal(json.dumps(answer.to_json()).encode(), path.name))
        return path

    def remove(self, answer: Answered) -> None:
        (self.folder / f"{answer.connection}.{answer.fence}").unlink(missing_ok=True)

    def pending(self, connection: str = "*") -> Iterator[Answered]:
        """What was not taken over into the vault yet, oldest first. A torn or foreign file is set aside and reported, never
        used."""
        if not self.folder.is_dir():
            return
        names = (path for path in self.folder.glob(f"{connection}.*") if path.suffix[1:].isdigit())
        for path in sorted(names, key=lambda path: (path.stem, int(path.suffix[1:]))):
            try:
                yield Answered.from_json(json.loads(self._open(path.read_bytes(), path.name)))
            except FileNotFoundError:
                continue
            except (InvalidTag, ValueError, KeyError, TypeError):
                log.warning("the spooled answer %s cannot be read; set aside", path.name)
                path.rename(path.with_suffix(path.suffix + ".unreadable"))

    @property
    def volume(self) -> str:
        """Which volume this is. Raises OSError where nothing can be written to it: then nobody may be asked either."""
        self._prepare()
        name = self.folder / "volume"
        if not name.exists():
            _create(name, secrets.token_hex(16).encode())
        return name.read_text()

    def note(self, connection: str, claim: Claim | None) -> None:
        """Durable when this returns, before the claim is written."""
        if claim is None:
            return
        found = {"connection": connection, "holder": claim.holder, "until": claim.until.isoformat()}
        _durable(self.folder / f"{claim.holder}{ASKED}", json.dumps(found).encode())

    def forget(self, holder: str) -> None:
        (self.folder / f"{holder}{ASKED}").unlink(missing_ok=True)

    def asked(self) -> Iterator[Asked]:
        for path in sorted(self.folder.glob(f"*{ASKED}")):
            try:
                found = json.loads(path.read_bytes())
                yield Asked(found["connection"], path.name.removesuffix(ASKED), datetime.fromisoformat(found["until"]))
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, TypeError):
                log.warning("the note %s cannot be read; set aside", path.name)
                path.rename(path.with_suffix(".unreadable"))

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._key.exists():
            _create(self._key, AESGCM.generate_key(256))

    @property
    def _key(self) -> Path:
        return self.folder.with_suffix(".key")

    @property
    def key_made(self) -> datetime:
        self._prepare()
        return datetime.fromtimestamp(self._key.stat().st_mtime, UTC)

    @property
    def keys(self) -> int:
        """How many there are, with those before."""
        self._prepare()
        return self._key.stat().st_size // KEY

    def rotate(self, seen: datetime) -> bool:
        """A new key seals from now on, and those before open what they sealed: whoever read one a moment ago seals with that one
        still. False where it is not the key that was `seen` any more: of all processes on the volume, one makes the next."""
        with (self.folder.parent / "spool.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.key_made != seen:
                return False
            _durable(self._key, AESGCM.generate_key(256) + self._key.read_bytes()[:KEY * (KEYS - 1)])
            return True

    def _seal(self, plain: bytes, name: str) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(self._key.read_bytes()[:KEY]).encrypt(nonce, plain, name.encode())

    def _open(self, sealed: bytes, name: str) -> bytes:
        """Raises InvalidTag."""
        keys = self._key.read_bytes()
        for start in range(0, len(keys), KEY):
            with suppress(InvalidTag):
                return AESGCM(keys[start:start + KEY]).decrypt(sealed[:NONCE], sealed[NONCE:], name.encode())
        raise InvalidTag


def _create(path: Path, content: bytes) -> None:
    """Of several that try, one's content stands, and it is there whole or not at all."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.draft")
    _durable(draft, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _durable(path: Path, content: bytes) -> None:
    """Written beside, synced, then renamed into place: a crash leaves the whole file or none."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(draft, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
