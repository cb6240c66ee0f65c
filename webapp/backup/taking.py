"""Taking a backup, while the instance runs or while it is stopped.

The order is what makes the copy one that works:
1. the log says that a backup is being taken: so the copy says which one it is;
2. the spool: a provider's answer is removed from it only when the vault has it, so it is in this copy or in the next;
3. the vault's snapshot;
4. the database. It is younger than the vault, never older: it has all that the log's published head covers, and whatever ended
   in between ended where the database says so;
5. what is configured.
All of it goes through the encryption into one file, which has its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from sqlalchemy import func, select

from vault import settings as keeper_settings
from vault import snapshot
from webapp import audit
from webapp.audit import merkle
from webapp.audit.sequencer import node_at
from webapp.audit.tables import Checkpoint, Entry, Tree
from webapp.backup import contents, sealed
from webapp.backup.alone import vault_of
from webapp.backup.contents import Manifest
from webapp.config import Settings
from webapp.db import Database
from webapp.db.migrate import HEAD
from webapp.errors import BadInput
from webapp.ids import new_id
from webapp.supervisor import lock

COVERED = 5.0
"""Seconds to wait for a checkpoint. A copy without it is whole too."""
POSTGRES = (
    "This instance's database is PostgreSQL: back that up with pg_dump, and its vault with a snapshot of its own (`bao operator "
    "raft snapshot save`), the vault first."
)
OWN_VAULT = (
    "This instance's vault is at {address}: back it up with a snapshot of its own (`bao operator raft snapshot save`), and the "
    "database after it."
)
NAMED_DATABASE = (
    "The settings name a database (database_url). A copy of them would lead a restored instance to the original's: leave it "
    "empty, and the instance's own is used."
)
STRANGE = "The database is not this vault's: it does not have the entries of the log that the vault has published."


@dataclass(frozen=True)
class Taken:
    manifest: Manifest
    size: int
    digest: str
    """SHA-256 of the file, hex."""


def take(settings: Settings, *, to: Path, recipients: Sequence[Any], clock: Callable[[], datetime]) -> Taken:
    """Write a backup of the instance to a new file. Raises BadInput, Conflict, Unavailable and the vault's errors; then there is
    no file."""
    instance = settings.instance
    _require_whole(settings)
    if not to.parent.is_dir() or os.path.lexists(to):
        raise BadInput(f"{to} is there already, or its folder is not. A backup is never written over another file.")
    with _workplace(instance) as work, vault_of(instance) as running:
        manifest = _collect(settings, work, _noted(settings, recipients, clock(), running), clock)
        with _new_file(to) as out:
            sealed.seal(lambda stream: _pack(stream, instance, work, manifest), out, recipients)
            size = out.tell()
            out.seek(0)
            digest = hashlib.file_digest(out, "sha256").hexdigest()  # type: ignore[arg-type]
    return Taken(manifest, size, digest)


def _require_whole(settings: Settings) -> None:
    """Raises BadInput for what is not all in this folder."""
    instance = settings.instance
    if instance.is_dir() and instance.stat().st_uid != os.getuid():
        raise BadInput(f"Run this as the user that {instance} belongs to: another one's files in it would stop it.")
    if not settings.database.startswith("sqlite"):
        raise BadInput(POSTGRES)
    address = keeper_settings.load(instance, evaluation=(instance / "evaluation").is_dir()).vault_address
    if address:
        raise BadInput(OWN_VAULT.format(address=address))
    if settings.database_url:
        raise BadInput(NAMED_DATABASE)
    if not (instance / contents.DATABASE).is_file() or not (instance / "vault" / keeper_settings.STARTED).exists():
        raise BadInput(f"The instance in {instance} was never started: there is nothing to back up.")


@contextmanager
def _workplace(instance: Path) -> Iterator[Path]:
    """A folder for the copies that have to be whole before they can be packed: the database's and the vault's, as they are on
    this disk anyway. One backup at a time; what one left behind that was killed is removed."""
    run = instance / "run"
    with lock.copying(instance):
        for left in run.glob("backup-*"):
            shutil.rmtree(left)
        work = run / f"backup-{secrets.token_hex(4)}"
        work.mkdir(mode=0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work)


def _noted(settings: Settings, recipients: Sequence[Any], now: datetime, running: bool) -> str:
    """Step 1: the backup's id. Where the log is being signed, wait a while for it: then a checkpoint in the copy covers it."""
    made = new_id("bak")
    database = Database(settings.database)
    try:
        database.write(lambda s: audit.append(
            s, kind="backup.begun", actor="cli", subject=made, detail={"recipients": [str(one) for one in recipients]}, at=now
        ))
        end = time.monotonic() + (COVERED if running else 0)
        while time.monotonic() < end and not _signed(database, made):
            time.sleep(0.1)
    finally:
        database.close()
    return made


def _signed(database: Database, made: str) -> bool:
    with database.read() as session:
        size = session.scalar(select(func.max(Checkpoint.size))) or 0
        return session.scalar(select(Entry.id).where(Entry.subject == made, Entry.place < size)) is not None


def _collect(settings: Settings, work: Path, made: str, clock: Callable[[], datetime]) -> Manifest:
    instance = settings.instance
    spooled = contents.spooled(instance)  # 2
    for name in spooled:
        _keep(instance / name, work / name)
    with _private(work / contents.SNAPSHOT) as file:
        snapshot.take(instance, file)  # 3
    published = snapshot.log_head(instance)
    _copy_database(instance / contents.DATABASE, work / contents.DATABASE)  # 4
    size, checkpoint = log_of(work / contents.DATABASE, published)
    copies = [contents.DATABASE, contents.SNAPSHOT]
    evaluation = (instance / contents.BANK).is_file()
    if evaluation:
        _copy_database(instance / contents.BANK, work / contents.BANK)
        copies.append(contents.BANK)
    names = [*copies, *(name for name in spooled if (work / name).exists()), *contents.inside(instance)]  # 5
    return Manifest(made, clock().astimezone(UTC), HEAD, evaluation, size, checkpoint, tuple(names))


def _keep(source: Path, target: Path) -> None:
    """A spooled answer; one that went into the vault meanwhile is in the snapshot that comes next."""
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        return
    with _private(target) as file:
        file.write(content)


def _private(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    return cast("BinaryIO", os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b"))


def _copy_database(source: Path, target: Path) -> None:
    """As of one moment, while others write (https://sqlite.org/backup.html); in one file."""
    _private(target).close()
    with closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=30)) as found, \
            closing(sqlite3.connect(target)) as copy:
        found.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def log_of(path: Path, published: tuple[int, bytes], otherwise: str = STRANGE) -> tuple[int, str]:
    """How many entries the copy's log has, and its last checkpoint. Raises BadInput for a database that does not continue the log
    which the vault has published: it could be restored, and would then never run."""
    database = Database(f"sqlite:///{path}")
    size, root = published
    try:
        with database.read() as session:
            have = session.scalar(select(Tree.size)) or 0
            if have < size or merkle.root(size, node_at(session)) != root:
                raise BadInput(otherwise)
            have += session.scalar(select(func.count()).select_from(Entry).where(Entry.place.is_(None))) or 0
            note = session.scalar(select(Checkpoint.note).order_by(Checkpoint.size.desc()).limit(1)) or ""
    finally:
        database.close()
    with closing(sqlite3.connect(path)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
    return have, note


def _pack(stream: BinaryIO, instance: Path, work: Path, manifest: Manifest) -> None:
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        head = manifest.to_json()
        contents.put(archive, contents.MANIFEST, io.BytesIO(head), len(head))
        for name in manifest.files:
            path = work / name if (work / name).exists() else instance / name
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                contents.put(archive, name, file, found.st_size, found.st_mtime)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """0600, under its name only when it is whole and on the disk. Raises BadInput where something took the name meanwhile."""
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    try:
        with _private(part) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(part, path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}. There is no backup.") from error
    finally:
        part.unlink(missing_ok=True)


def _name(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a volume without hard links, as on many a removable disk
        if os.path.lexists(path):
            raise
        part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
