"""Restoring a backup into an empty folder.

1. The folder is absent or empty, and no link.
2. Everything is unpacked beside it, in a folder of our own: what is not whole, not for this identity, or no backup ends here.
3. Database and snapshot are sound.
4. A new vault is made there with the backup's seal key, takes the snapshot in, opens with it, and lets the keeper in.
5. The database continues the log whose head that vault has published; and a checkpoint kept elsewhere, where one is given, is
   compared: the operator is told what this copy lacks.
6. What the first start has to do is written down (`webapp.backup.restored`).
7. The folder gets its name, at once.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from vault import embedded, snapshot
from vault.secret import Secret
from vault.settings import RESTORED
from webapp.audit.keys import FILE as VERIFIER_KEY
from webapp.audit.keys import kept, pinned
from webapp.backup import contents, sealed
from webapp.backup.alone import started, wait
from webapp.backup.contents import DATABASE, MANIFEST, REQUIRED, SEALING, SNAPSHOT, Manifest
from webapp.backup.restored import Mark, write
from webapp.backup.taking import log_of
from webapp.errors import BadInput
from webapp.ids import new_id
from webapp.supervisor import left

RESTORE_SECRET_ID = "COUNTERSEAL_RESTORE_SECRET_ID"  # noqa: S105 the variable's name
OTHER_LOG = "The copy's log is not the one of your checkpoint: they differ in what both cover. Nothing was put in place."
SHUT = "The vault does not open with what is in this backup. Nothing was put in place."
LEFT = ".gitignore"
"""What may be in a folder that counts as empty: a checkout's own `instance/` has it."""


@dataclass(frozen=True)
class Restored:
    manifest: Manifest
    missing: int | None
    """Entries that the checkpoint kept elsewhere covers and this copy lacks; None where none was given."""


def restore(
    source: Path, *, instance: Path, identities: Sequence[Any], checkpoint: Path | None, clock: Callable[[], datetime]
) -> Restored:
    """Raises BadInput, Unavailable and the vault's errors; then nothing was put in place."""
    _require_empty(instance)  # 1
    left.remove(instance)
    with left.workplace(instance) as staging:
        manifest = _unpack(source, staging, identities)  # 2
        _require_sound(staging)  # 3
        published = _vault(staging)  # 4
        entries, _note = log_of(staging / DATABASE, published)  # 5
        missing = _missing(staging, entries, checkpoint) if checkpoint is not None else None
        at = max(clock().astimezone(UTC), manifest.taken_at)  # later than any decision in it, also where this clock is slow
        write(staging, Mark(new_id("rst"), manifest.id, manifest.taken_at, at, entries, missing))  # 6
        _write(staging / "vault" / RESTORED, at.isoformat().encode())
        _put_in_place(staging, instance)  # 7
    return Restored(manifest, missing)


def _require_empty(instance: Path) -> None:
    if instance.is_symlink() or (os.path.lexists(instance) and not instance.is_dir()):
        raise BadInput(f"{instance} is a link or a file. Name a folder that is empty or not there.")
    if instance.is_dir() and any(path.name != LEFT for path in instance.iterdir()):
        raise BadInput(f"{instance} is not empty. A backup is restored into a folder that is empty or not there.")
    if instance.is_dir() and instance.stat().st_uid != os.getuid():
        raise BadInput(f"Run this as the user that {instance} belongs to: what is restored would be yours, and closed to them.")
    if not instance.parent.is_dir():
        raise BadInput(f"{instance.parent} is not there.")
    if len(os.fsencode(embedded.socket_path(instance))) > embedded.LONGEST_SOCKET:
        raise BadInput(f"The path of {instance} is too long for a socket in it. Name a folder nearer to the root.")


def _unpack(source: Path, staging: Path, identities: Sequence[Any]) -> Manifest:
    try:
        with source.open("rb") as file:
            return sealed.unseal(file, identities, lambda stream: _files(stream, staging))
    except (tarfile.TarError, EOFError) as error:
        raise BadInput(contents.FOREIGN, detail=str(error)) from error
    except OSError as error:
        raise BadInput(f"{source}: {error.strerror or error}. Nothing was put in place.") from error


def _files(stream: BinaryIO, staging: Path) -> Manifest:
    manifest: Manifest | None = None
    found: list[str] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for name, changed, content in contents.entries(archive):
            if manifest is None:
                if name != MANIFEST:
                    raise BadInput(contents.FOREIGN, detail="it does not begin with a manifest")
                manifest = Manifest.parse(content.read(contents.LARGEST_MANIFEST))
                continue
            _copy(content, staging / name)
            os.utime(staging / name, (changed, changed))
            found.append(name)
    whole = REQUIRED.issubset(found) and any(map(SEALING.fullmatch, found))
    if manifest is None or tuple(found) != manifest.files or not whole:
        raise BadInput(contents.FOREIGN, detail="files are missing")
    return manifest


def _copy(content: BinaryIO, target: Path) -> None:
    """0600 from the first byte on, in folders that are their owner's alone, and on the disk."""
    target.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())


def _write(target: Path, content: bytes) -> None:
    _copy(io.BytesIO(content), target)


def _require_sound(staging: Path) -> None:
    """Raises BadInput, NoSnapshot."""
    with (staging / SNAPSHOT).open("rb") as file:
        snapshot.verify(file)
    try:
        with closing(sqlite3.connect(staging / DATABASE)) as connection:
            said = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise BadInput(contents.FOREIGN, detail=str(error)) from error
    if said != ("ok",):
        raise BadInput("The database in this backup is damaged. Nothing was put in place.", detail=str(said))


def _vault(staging: Path) -> tuple[int, bytes]:
    """The log's head as the restored vault has it. What the new vault had of its own is gone with the snapshot's arrival, the
    role that put it there as well."""
    secret_id = Secret(secrets.token_urlsafe(32))
    taken = staging / SNAPSHOT
    more = {RESTORE_SECRET_ID: secret_id.reveal()}
    with started(staging, snapshot.restore_role(RESTORE_SECRET_ID), more):
        with taken.open("rb") as file:
            snapshot.put_back(staging, file, taken.stat().st_size, secret_id)
        wait(lambda: snapshot.arrived(staging, secret_id) and embedded.ready(staging), SHUT)
        published = snapshot.log_head(staging)
    taken.unlink()
    for name in ("audit.log", "config.hcl"):  # of the vault as it was made here; the next start writes its own
        (staging / "vault" / name).unlink(missing_ok=True)
    shutil.rmtree(staging / "run")
    return published


def _missing(staging: Path, entries: int, checkpoint: Path) -> int:
    """How many entries of the log this copy lacks, going by a checkpoint that was kept elsewhere. Raises BadNote for one that
    this instance did not sign, BadInput for one of another log than the copy's."""
    head = kept(checkpoint, pinned(staging / VERIFIER_KEY))
    if head.size <= entries:
        log_of(staging / DATABASE, (head.size, head.root), OTHER_LOG)
    return max(0, head.size - entries)


def _put_in_place(staging: Path, instance: Path) -> None:
    """rename(2): over an empty folder or none, and over nothing else."""
    try:
        if (instance / LEFT).is_file():
            (instance / LEFT).rename(staging / LEFT)
        staging.rename(instance)
        (instance / left.MARK).unlink()
    except OSError as error:
        hint = f"{instance}: {error.strerror}. Nothing was put in place. Name a folder that is empty, and no mount."
        raise BadInput(hint) from error
    folder = os.open(instance.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

