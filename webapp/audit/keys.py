"""Signed notes (C2SP signed-note, tlog-checkpoint) and the public key pinned in the instance folder."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from vault.errors import KeeperError
from webapp.errors import CountersealError
from webapp.web.house import House

log = logging.getLogger("counterseal.audit")

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
        raise BadNote(
            "No pinned key has signed the checkpoint. Where the log's key was rotated since, take the newest audit.vkey; its "
            "first line is still the same."
        )
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
    """Have the key that signed this note in the instance folder. What fails here is tried again with the next note: a log is
    signed whether or not its keys could be written."""
    path = house.settings.instance / FILE
    try:
        known = _known(path)
        if known and not note.startswith(f"{known[0].name}\n"):
            log.warning("%s is of another log, and is left as it is", path)
        elif not any(_signer(note, key) for key in known):
            learn(house)
    except (KeeperError, BadNote, OSError) as error:
        log.warning("the log's public keys could not be written: %s", error)


def learn(house: House) -> None:
    """Write what keys the vault has behind those that are pinned; never over what is there. Raises BadNote where the file does
    not begin as the vault's keys do: somebody changed it, or put another vault in its place."""
    path, lines = house.settings.instance / FILE, house.door.audit_keys()
    told, known = introduced(lines, "the keeper"), _known(path)
    if [str(key) for key in known] != [str(key) for key in told][:len(known)]:
        log.critical("%s names keys that are not the vault's: it was changed, or the vault was", path)
        raise BadNote(f"{path} names keys that are not the vault's. Compare it with a copy that you kept elsewhere.")
    if len(known) < len(told):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{FILE}.{os.getpid()}.{threading.get_ident()}")
        part.write_text("\n".join(lines) + "\n")
        part.replace(path)


def _known(path: Path) -> list[VerifierKey]:
    """None where there is no file. Raises BadNote."""
    return pinned(path) if path.exists() else []


def _signer(note: str, key: VerifierKey) -> bool:
    try:
        open_note(note, [key])
    except BadNote:
        return False
    return True


def pinned(path: Path) -> list[VerifierKey]:
    """The keys of a file, one a line: each after the first with the word of the one before it. Raises BadNote."""
    if not path.exists():
        raise BadNote(f"There is no public key at {path}. It is written when the log is first signed; or name one with --key.")
    return introduced([line for line in path.read_text().splitlines() if line.strip()], str(path))


def introduced(lines: Sequence[str], where: str) -> list[VerifierKey]:
    """Attack: a key of one's own is added to the file, and a log of one's own signed with it. Only the first line is believed as
    it stands; so keep a copy of that one elsewhere."""
    found: list[VerifierKey] = []
    for line in lines:
        named, _, word = line.strip().partition(" ")
        key = VerifierKey.parse(named)
        if found and not _vouched(found[-1], key, word):
            raise BadNote(f"In {where}, {key} does not have the word of the key before it: it is not the log's.")
        found.append(key)
    return found


def _vouched(before: VerifierKey, key: VerifierKey, word: str) -> bool:
    """Ed25519 over what `vault.rotating.introduction` says."""
    try:
        signature = base64.b64decode(word, validate=True)
        said = f"counterseal/next-key/v1\n{before}\n{key}\n".encode()
        Ed25519PublicKey.from_public_bytes(before.public).verify(signature, said)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
