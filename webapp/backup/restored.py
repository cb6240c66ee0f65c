"""The first start after a restore.

A copy is of a moment, and since then things happened that it does not know. What it says is still alive is taken as over wherever
going on could do harm twice, or let somebody in who was shut out:
- sessions, and what agents and token clients hold of ours, end: people sign in again, agents ask again;
- leases end, exclusive ones at their provider too;
- an approved action may have run: it is `uncertain` until a person has looked, and so is one that was running;
- a held action on which somebody had decided is void, for the same decision must not count twice (the keeper too refuses what was
  decided before the restore); one on which nobody had stays, and its page says that it may have run meanwhile;
- each connected account is tried: a provider that has rotated its refresh token since refuses the copy's, and then the person is
  asked to reconnect it;
- the keeper is told again which accounts are paused, and which were disconnected while the backup was taken: its copy is older.
All in one transaction, with the entry in the log that says so, before anything is served.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import afresh
from webapp.audit.tables import Entry
from webapp.broker import leases
from webapp.connections import health_check
from webapp.db.due import Due
from webapp.errors import Unavailable
from webapp.oauth import held_tokens
from webapp.people import sessions
from webapp.web.house import House

log = logging.getLogger("counterseal")

FILE = "restored.json"
TAKING = timedelta(hours=1)
"""Longer than a backup takes: what was ended while it was taken, the database has and the vault may not."""
WHY = "the instance was restored from a backup"


@dataclass(frozen=True)
class Mark:
    """One restore. `missing`: how many entries a checkpoint kept elsewhere covers beyond the copy's; None if none was given."""

    id: str
    backup: str
    taken_at: datetime
    restored_at: datetime
    entries: int
    missing: int | None


def write(instance: Path, mark: Mark) -> None:
    document = {
        "id": mark.id, "backup": mark.backup, "taken_at": mark.taken_at.isoformat(), "restored_at": mark.restored_at.isoformat(),
        "entries": mark.entries, "missing": mark.missing,
    }
    with os.fdopen(os.open(instance / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Mark | None:
    """Raises Unavailable for a file that cannot be read: what a restore has to end must not live on for that."""
    try:
        found = json.loads(path.read_text())
        times = (datetime.fromisoformat(found["taken_at"]), datetime.fromisoformat(found["restored_at"]))
        return Mark(str(found["id"]), str(found["backup"]), *times, int(found["entries"]), found["missing"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"{path} cannot be read, so nothing is served. Restore the backup once more."
        raise Unavailable(hint, detail=str(error)) from error


def settle(house: House) -> None:
    """At each start. Does nothing where nothing was restored, or another process was first. Raises Unavailable."""
    path = house.settings.instance / FILE
    mark = _read(path)
    if mark is None:
        return
    house.database.write(lambda s: _settle(s, mark, house.clock()))
    path.unlink(missing_ok=True)


def _settle(session: Session, mark: Mark, now: datetime) -> None:
    if session.scalar(select(Entry.id).where(Entry.kind == audit.RESTORED, Entry.subject == mark.id).limit(1)) is not None:
        return
    at = {"taken_at": mark.taken_at.isoformat(timespec="seconds"), "restored_at": mark.restored_at.isoformat(timespec="seconds")}
    audit.append(  # the first after those of the copy: whoever compares an older checkpoint finds it where the two part
        session, kind=audit.RESTORED, actor="cli", subject=mark.id, at=now,
        detail={"backup": mark.backup, **at, "entries": mark.entries, "missing": mark.missing},
    )
    ended = {
        "sessions": sessions.end_every(session, WHY, now), "tokens": held_tokens.drop(session),
        "leases": leases.close_all(session, "restored", now), **afresh.begin(session, now),
        "accounts_to_try": health_check.all_(session, now),
        "accounts_ended": health_check.ended(session, mark.taken_at - TAKING, now),
    }
    session.execute(update(Due).values(claimed_by=None, claimed_until=None))  # who had claimed them runs no more, or elsewhere
    audit.append(session, kind="instance.settled", actor="system", subject=mark.id, at=now, detail=ended)
    log.warning("restored from %s, taken at %s: %s", mark.backup, at["taken_at"], ended)
