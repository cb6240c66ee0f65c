"""Replace the keeper's keys in the vault: on demand, and by themselves when they are old. No request fails meanwhile
(`vault.rotating`).

`payload` goes on for a day: what its older versions wrapped is rewrapped in bounded batches, and when nothing of it is left they
are opened no more. Each step is safe to repeat, on any worker.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, text, tuple_, update
from sqlalchemy.orm import Session

from vault.door import KeyVersion
from vault.errors import KeeperAway, KeeperError, VaultAway, VaultSealed
from webapp import audit
from webapp.approvals.tables import Payload
from webapp.audit import keys
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.db.count import changed
from webapp.db.due import Due, enqueue
from webapp.web.house import House

log = logging.getLogger("counterseal.rotation")

CA = "ca"
KEYS = ("authority", "audit", "payload", "app", "keeper", "marks", "match", "channels", CA)
"""`app` is what the web process signs and seals with: cookies, forms, `requestState`; `keeper` what the keeper itself seals with:
begun sign-ins and challenges; `marks` tells decoys, `match` makes the numbers on agents' screens, `channels` seals addresses that
people are told at; `ca` signs client certificates."""
PUSH = "push"
"""By what push services know this installation. Never by itself: each browser that is told by push has to be asked again."""
KIND = "rotation.key"
FINISH = "rotation.finish"
REWRAP = "rotation.rewrap"
BATCH = 200
BATCHES = 25
"""In one run: a worker has a row for two minutes, and this takes seconds."""
SOON = timedelta(seconds=1)
UNFINISHED = timedelta(minutes=2)
"""When whoever began a rotation has either finished it or died. Sooner than a new version signs (`vault.authority.LEAD`): the
log's next key is still announced under the one before."""
SELDOM = timedelta(hours=1)
"""A key that is younger is not replaced again on demand: the keeper refuses."""
SETTLED = timedelta(minutes=10)
"""Whoever read a row before it was rewrapped has opened it by then."""
RETIRED = timedelta(days=1, minutes=1)
"""After a rotation, before older versions are opened no more: the keeper insists on a day."""
AGAIN = timedelta(days=1)


def rotate(house: House, key: str, actor: str) -> KeyVersion:
    """One key anew: said in the log before it happens and after. The log's own next key is in the log, with the word of the one
    before it, under a checkpoint that the older one signed. Where the vault made a version lately of which the log does not know
    yet, that one is said, and is the one asked for. Raises the keeper's errors; and LogStalled, BadNote where the key was rotated
    and its announcement is not signed yet, or the file of public keys is not the vault's."""
    unsaid = finish(house, key)
    if unsaid is not None and house.clock() < unsaid.since + SELDOM:
        return unsaid
    house.database.write(lambda s: _begun(s, house, key, actor))
    made = house.door.rotate(key)
    _say(house, key, actor, made)
    return made


def finish(house: House, key: str) -> KeyVersion | None:
    """Say in the log that a key was rotated, where whoever did it died before that, or never heard that it was done; None where
    there is nothing to say. Raises as `rotate`."""
    made = house.door.key_version(key)
    with house.database.read() as session:
        if made.version <= _known(session, key):
            return None
    _say(house, key, "system", made)
    return made


def _say(house: House, key: str, actor: str, made: KeyVersion) -> None:
    detail: dict[str, object] = {"version": made.version, "used_from": made.used_from.isoformat()}
    if key == "audit":
        detail["key"] = house.door.audit_keys()[-1]
    entries = house.database.write(lambda s: _done(s, house, key, actor, made, detail))
    if key == "audit":
        audit.covered(house, entries, house.settings.approvals.log_stalled)
        keys.learn(house)


def _begun(session: Session, house: House, key: str, actor: str) -> None:
    """Whoever dies from here on leaves a row that finishes it."""
    now = house.clock()
    audit.append(session, kind="key.rotating", actor=actor, subject=key, detail={}, at=now)
    enqueue(session, FINISH, key, now + UNFINISHED)


def _done(
    session: Session, house: House, key: str, actor: str, made: KeyVersion, detail: Mapping[str, object]
) -> list[str]:
    """The entry; nothing where another has said it meanwhile, or is just saying it."""
    _one_at_a_time(session, key)
    if made.version <= _known(session, key):
        return []
    now = house.clock()
    if key == "payload":
        enqueue(session, REWRAP, "all", now)
    return [audit.append(session, kind="key.rotated", actor=actor, subject=key, detail=detail, at=now)]


def _one_at_a_time(session: Session, key: str) -> None:
    """SQLite has one writer, PostgreSQL is asked for a lock: else of two workers neither sees the other's entry."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 16))"), {"key": key})


def _known(session: Session, key: str) -> int:
    """The newest version that the log speaks of; the first is not announced."""
    said = session.scalars(select(Entry.body).where(Entry.kind == "key.rotated", Entry.subject == key))
    return max((int(json.loads(body)["detail"]["version"]) for body in said), default=1)


def plan(house: House) -> None:
    """Called by each worker as it starts: these rows are there from then on."""
    now = house.clock()

    def rows(session: Session) -> None:
        there = set(session.scalars(select(Due.key).where(Due.kind == KIND)))
        for key in KEYS:
            if key not in there:
                enqueue(session, KIND, key, now)

    house.database.write(rows)


def due(house: House, key: str, made: KeyVersion) -> datetime:
    """When the newest version of a key is to be replaced."""
    return made.since + timedelta(days=days(house.settings, key))


def days(settings: Settings, key: str) -> int:
    """How old it gets."""
    return settings.rotation.ca_days if key == CA else settings.rotation.keys_days


def _by_age(house: House, row: Due) -> datetime:
    """Looks once a day at least, so that another number of days in the settings counts from then on. A vault that is away is
    asked again soon; one that refuses, tomorrow, for each time is an entry in the log."""
    now = house.clock()
    if row.key not in KEYS:
        return now + AGAIN
    try:
        made = house.door.key_version(row.key)
        if due(house, row.key, made) <= now:
            made = rotate(house, row.key, "system")
    except (KeeperAway, VaultAway, VaultSealed):
        raise
    except KeeperError as error:
        log.warning("%s was not rotated: %s", row.key, error.hint)
        return now + AGAIN
    return min(max(due(house, row.key, made), now + SETTLED), now + AGAIN)


def _finish(house: House, row: Due) -> None:
    """What was begun and refused leaves nothing to finish."""
    if row.key in KEYS:
        finish(house, row.key)


def _rewrap(house: House, _row: Due) -> datetime | None:
    """Again at once while there is more; once more after what was moved has settled; at last the older versions are retired."""
    now, newest = house.clock(), house.door.key_version("payload")
    moved, left = _batches(house, newest.version)
    if left:
        return now + (SOON if moved else AGAIN)
    if moved:
        return now + SETTLED
    if newest.oldest < newest.version:
        if now < newest.since + RETIRED:
            return newest.since + RETIRED
        if _any_old(house, newest.version):
            return None
        house.door.retire_payload()
    elif newest.version == 1 or _retired(house, newest.version):
        return None
    house.database.write(lambda s: audit.append(
        s, kind="key.retired", actor="system", subject="payload", detail={"before": newest.version}, at=now
    ))
    return None


def _retired(house: House, before: int) -> bool:
    """Whether the log says so. Whoever had them retired may have died before it did."""
    with house.database.read() as session:
        said = session.scalars(select(Entry.body).where(Entry.kind == "key.retired", Entry.subject == "payload")).all()
    return any(json.loads(body)["detail"]["before"] >= before for body in said)


def _batches(house: House, version: int) -> tuple[int, bool]:
    """How many were moved, and whether there may be more. One that does not open is passed over."""
    moved, after = 0, ("", "")
    for _ in range(BATCHES):
        rows = _older(house, version, after)
        if not rows:
            return moved, False
        fresh = house.door.rewrap(sorted({wrapped for _, _, wrapped in rows}))
        moved += house.database.write(lambda s, rows=rows, fresh=fresh: _move(s, rows, fresh))  # type: ignore[misc]
        after = rows[-1][:2]
    return moved, True


def _older(house: House, version: int, after: tuple[str, str]) -> Sequence[tuple[str, str, str]]:
    with house.database.read() as session:
        found = session.execute(
            select(Payload.action, Payload.direction, Payload.wrapped)
            .where(Payload.wrapped.not_like(f"vault:v{version}:%"), tuple_(Payload.action, Payload.direction) > after)
            .order_by(Payload.action, Payload.direction).limit(BATCH)
        ).all()
    return [(row.action, row.direction, row.wrapped) for row in found]


def _any_old(house: House, version: int) -> bool:
    """Where one does not open, an operator has to look at it before anything older is given up."""
    found = bool(_older(house, version, ("", "")))
    if found:
        log.error("payloads are left that cannot be rewrapped: older versions of the key are not retired")
    return found


def _move(session: Session, rows: Sequence[tuple[str, str, str]], fresh: Mapping[str, str]) -> int:
    return sum(
        changed(session.execute(
            update(Payload).where(Payload.action == action, Payload.direction == direction, Payload.wrapped == wrapped)
            .values(wrapped=fresh[wrapped]), execution_options={"synchronize_session": False},
        )) for action, direction, wrapped in rows if wrapped in fresh
    )


jobs: dict[str, Callable[[House, Due], datetime | None]] = {KIND: _by_age, FINISH: _finish, REWRAP: _rewrap}
