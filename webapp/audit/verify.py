"""Verify the whole log offline: against the pinned public key, with no vault and no keeper."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.audit import merkle
from webapp.audit.keys import Head, VerifierKey, open_note
from webapp.audit.log import RESTORED
from webapp.audit.tables import Checkpoint, Entry
from webapp.canonical import canonical
from webapp.errors import CountersealError

FORMAT = "counterseal-log/1"
CHUNK = 1000


class LogBroken(CountersealError):
    """The log does not hold; `hint` says where."""

    default = "log_broken"


@dataclass(frozen=True)
class Report:
    entries: int
    checkpoints: int
    root: str
    pending: int


def verify(
    *, bodies: Iterable[bytes], notes: Iterable[str], keys: list[VerifierKey], pending: int = 0, kept: Head | None = None
) -> Report:
    """Raise LogBroken unless

    1. every checkpoint is signed by a pinned key, and they only grow;
    2. every body is canonical JSON, in its place;
    3. the tree over the bodies has, at each checkpoint's size, the root that was signed;
    4. no checkpoint covers more entries than there are;
    5. the log continues the head of `kept`, a checkpoint that was kept elsewhere, where one is given: an older copy of database
       and vault together agrees with itself in all of the above.
    """
    heads = [open_note(note, keys) for note in notes]
    if any(later.size <= earlier.size for earlier, later in itertools.pairwise(heads)):
        raise LogBroken("The checkpoints are out of order.")
    tree, due = merkle.Growing(), iter(heads)
    head = next(due, None)
    restored: int | None = None
    for body in bodies:
        if _require_canonical(body, tree.size) == RESTORED:
            restored = tree.size
        tree.add(merkle.leaf_hash(body))
        if kept is not None and tree.size == kept.size and tree.root() != kept.root:
            raise LogBroken(f"The log differs from your checkpoint within its {kept.size} entries.{_restored(restored)}")
        if head is not None and tree.size == head.size:
            if tree.root() != head.root:
                raise LogBroken(f"The entries do not give the root that was signed at size {head.size}: one before it changed.")
            head = next(due, None)
    if head is not None:
        raise LogBroken(f"A checkpoint covers {head.size} entries, but there are only {tree.size}: entries are missing.")
    if kept is not None and tree.size < kept.size:
        raise LogBroken(f"Your checkpoint covers {kept.size} entries, but there are only {tree.size}.{_restored(restored)}")
    signed = heads[-1] if heads else None
    covered = signed.size if signed else 0
    return Report(covered, len(heads), signed.root.hex() if signed else "", pending + tree.size - covered)


def _restored(place: int | None) -> str:
    if place is None:
        return " An older copy was put in its place, without a word in the log, or entries were changed."
    return f" Entry {place} says that a backup was restored: what came between the backup and your checkpoint is gone."


def _require_canonical(body: bytes, place: int) -> str:
    """What kind of entry it is."""
    try:
        found = json.loads(body)
        same = canonical(found) == body
    except ValueError:
        same = False
    if not same:
        raise LogBroken(f"Entry {place} is not canonical JSON.")
    return str(found.get("kind")) if isinstance(found, dict) else ""


def stored_bodies(session: Session) -> Iterator[bytes]:
    """Bodies in the tree's order; a gap in the numbering is a missing entry."""
    place = 0
    while True:
        rows = session.execute(
            select(Entry.place, Entry.body).where(Entry.place >= place).order_by(Entry.place).limit(CHUNK)
        ).all()
        for row in rows:
            if row.place != place:
                raise LogBroken(f"Entry {place} is missing.")
            place += 1
            yield row.body
        if len(rows) < CHUNK:
            return


def stored_notes(session: Session) -> list[str]:
    return list(session.scalars(select(Checkpoint.note).order_by(Checkpoint.size)))


def export(session: Session, out: TextIO) -> int:
    """Write the log as JSON lines: a header with the checkpoints, then a body a line. How many entries."""
    json.dump({"format": FORMAT, "checkpoints": stored_notes(session)}, out, ensure_ascii=False)
    out.write("\n")
    count = 0
    for count, body in enumerate(stored_bodies(session), 1):  # noqa: B007 the last count is the answer
        out.write(body.decode() + "\n")
    return count


def verify_export(path: Path, keys: list[VerifierKey], kept: Head | None = None) -> Report:
    with path.open(encoding="utf-8") as file:
        try:
            header = json.loads(file.readline())
            notes = list(header["checkpoints"])
        except (ValueError, KeyError, TypeError) as error:
            raise LogBroken("This file is not an export of a log.") from error
        if header.get("format") != FORMAT:
            raise LogBroken(f"This file's format is not {FORMAT}.")
        return verify(bodies=(line.rstrip("\n").encode() for line in file), notes=notes, keys=keys, kept=kept)
