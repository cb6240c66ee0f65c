"""What is in a backup: which files, by which names, in which order; and what its first entry says of it.

The names are all that can be restored: nothing in a backup names a place outside the instance, or one of its own choosing.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from webapp.db.migrate import HEAD
from webapp.errors import BadInput

FORMAT = "counterseal-backup/1"
MANIFEST = "manifest.json"
DATABASE = "counterseal.sqlite"
SNAPSHOT = "vault.snapshot"
BANK = "evaluation/bank.sqlite"
VAULT = ("vault/secret-id", "vault/backup-secret-id")
SEALING = re.compile(r"vault/seal(?:-[1-9][0-9]{0,5})?\.key")
"""The vault's unseal key: one, or two where a rotation of it is not finished (`vault.unseal_keys`)."""
REQUIRED = frozenset({DATABASE, SNAPSHOT, *VAULT})
SPOOL = "keeper/spool"
SETTINGS = (
    "counterseal.toml", "keeper.toml", "vault/unseal-secret-id", "audit.vkey", "evaluation/ports.json", "keeper/spool.key",
)
NAMED = re.compile(r"(?:policies/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.cedar|providers/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.yaml"
                   r"|keeper/spool/[A-Za-z0-9_-]{1,128}\.[0-9]{1,18})")
LARGEST_MANIFEST = 16_000_000
MOST = 20_000
"""Files in one backup."""
NEWER = "This backup was made by a newer version of Counterseal. Restore it with that version."
FOREIGN = "The file is no backup of an instance. Nothing was put in place."


@dataclass(frozen=True)
class Manifest:
    """`taken_at` is later than anything in it. `entries` are those of the audit log, `checkpoint` the last signed head of them
    (empty before the first)."""

    id: str
    taken_at: datetime
    schema: str
    """Of the version that took it: an older one can be restored and is brought up to date, a newer one cannot."""
    evaluation: bool
    entries: int
    checkpoint: str
    files: tuple[str, ...]

    def to_json(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self), "taken_at": self.taken_at.isoformat()}).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Raises BadInput."""
        try:
            found = json.loads(raw)
            if found["format"] != FORMAT:
                raise BadInput(NEWER)
            made = cls(
                str(found["id"]), datetime.fromisoformat(found["taken_at"]), str(found["schema"]), found["evaluation"] is True,
                int(found["entries"]), str(found["checkpoint"]), tuple(str(name) for name in found["files"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(FOREIGN, detail="the manifest") from error
        if made.taken_at.tzinfo is None or not re.fullmatch(r"bak_[0-9a-z]{26}", made.id):
            raise BadInput(FOREIGN, detail="the manifest's id or time")
        if made.schema > HEAD:
            raise BadInput(NEWER)
        return made


def known(name: str) -> bool:
    return name in REQUIRED or name in (*SETTINGS, BANK) or any(one.fullmatch(name) for one in (NAMED, SEALING))


def put(archive: tarfile.TarFile, name: str, file: BinaryIO, size: int, changed: float = 0) -> None:
    """Name, size and when it was last changed, from which a secret has its age; nobody's user or mode."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = size, int(changed)
    archive.addfile(entry, file)


def entries(archive: tarfile.TarFile) -> Iterator[tuple[str, float, BinaryIO]]:
    """What is in it and when it was last changed, in order, each file once and under a name that is known here. Raises BadInput.

    Attack: a file made for this recipient by somebody else, with names that lead out of the folder, links, devices, or without
    end."""
    seen: set[str] = set()
    for entry in archive:
        content = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
        if content is None or entry.name in seen or len(seen) > MOST or not (known(entry.name) or entry.name == MANIFEST):
            raise BadInput(FOREIGN, detail=f"an entry {entry.name[:80]!r}")
        seen.add(entry.name)
        yield entry.name, min(max(0, entry.mtime), time.time()), content  # type: ignore[misc]


def inside(instance: Path) -> list[str]:
    """The names of the instance's own files that are copied as they are. Raises BadInput for a link: it is not followed, for it
    may lead anywhere, and left out it would be missed too late."""
    found = [name for name in (*SETTINGS, *VAULT) if os.path.lexists(instance / name)]
    for folder, pattern in (("vault", "seal*.key"), ("policies", "*.cedar"), ("providers", "*.yaml")):
        files = sorted(path for path in (instance / folder).glob(pattern) if not path.name.startswith("."))
        found += [f"{folder}/{path.name}" for path in files]
    strange = [name for name in found if not _plain(instance / name) or not known(name)]
    if strange:
        raise BadInput(
            f"{instance / strange[0]} cannot be backed up: it is a link, or its name has characters beyond A-Z a-z 0-9 . _ -"
        )
    return found


def spooled(instance: Path) -> list[str]:
    """Providers' answers that the vault does not have yet."""
    return sorted(name for path in (instance / SPOOL).glob("*") if known(name := f"{SPOOL}/{path.name}") and _plain(path))


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
