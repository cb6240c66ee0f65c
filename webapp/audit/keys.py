"""Signed notes (C2SP signed-note, tlog-checkpoint) and the public key pinned in the instance folder."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from webapp.errors import CountersealError
from webapp.web.house import House

FILE = "audit.vkey"
ED25519 = b"\x01"


class BadNote(CountersealError):
    """A checkpoint that is malformed, or that no pinned key has signed."""

    default = "bad_note"


@dataclass(frozen=True)
class VerifierKey:
    """`name+keyhash+base64(0x01 || public key)`, as in C2SP signed-note."""

    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, line: str) -> VerifierKey:
        try:
            name, hashed, key = line.strip().split("+", 2)
            raw = base64.b64decode(key, validate=True)
        except (ValueError, binascii.Error) as error:
            raise BadNote("That is not a verifier key.", detail=line) from error
        made = cls(name, raw[1:])
        if raw[:1] != ED25519 or len(raw) != 33 or made.hash.hex() != hashed:
            raise BadNote("That is not an Ed25519 verifier key.", detail=line)
        return made


@dataclass(frozen=True)
class Head:
    origin: str
    size: int
    root: bytes


def open_note(note: str, keys: list[VerifierKey]) -> Head:
    """The head that a note states, if one of `keys` signed it. Raises BadNote."""
    text, separator, signatures = note.partition("\n\n")
    if not separator:
        raise BadNote("The checkpoint has no signature.")
    if not any(_signed(text + "\n", line, key) for line in signatures.splitlines() for key in keys):
        raise BadNote("No pinned key has signed the checkpoint.")
    try:
        origin, size, root = text.split("\n")[:3]
        return Head(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error) as error:
        raise BadNote("The checkpoint is malformed.") from error


def kept(path: Path, keys: list[VerifierKey]) -> Head:
    """The head that a checkpoint kept in a file states. Raises BadNote."""
    try:
        return open_note(path.read_text(encoding="utf-8"), keys)
    except (OSError, UnicodeDecodeError) as error:
        raise BadNote(f"There is no checkpoint in {path}.", detail=str(error)) from error


def _signed(text: str, line: str, key: VerifierKey) -> bool:
    if not line.startswith(f"— {key.name} "):
        return False
    try:
        raw = base64.b64decode(line.rsplit(" ", 1)[1], validate=True)
        Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return raw[:4] == key.hash


def pin(house: House, note: str) -> None:
    """Write the log's public keys into the instance folder when the log is first signed; never over what is there."""
    path = house.settings.instance / FILE
    if path.exists():
        return
    name = note.split("\n", 1)[0]
    lines = [str(VerifierKey(name, public)) for _, public in sorted(house.door.public_keys().audit.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write("\n".join(lines) + "\n")
    except FileExistsError:
        return


def pinned(path: Path) -> list[VerifierKey]:
    """The keys of a file, one a line. Raises BadNote."""
    if not path.exists():
        raise BadNote(f"There is no public key at {path}. It is written when the log is first signed; or name one with --key.")
    return [VerifierKey.parse(line) for line in path.read_text().splitlines() if line.strip()]
