"""Where a held call's values were before: in which result of an earlier call of the same agent, if in one that went through here.

What is kept of a result are keyed digests of its values, per person and client, at whichever server; none is used that is
older than an hour, and those are deleted when the next is written. Nobody reads the values out of the table, nor compares two
agents'. It is written after the answer left, many results in one transaction; what a process did not write before it ended is
lost, and so is what is larger than LARGEST. It informs whoever decides and permits nothing. What the person typed cannot be
told from what the agent made up.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from vault.secret import Secret
from webapp.errors import CountersealError
from webapp.gateway.tables import Asker, HeardResult
from webapp.gateway.values import forms, heard, sent
from webapp.ids import new_id
from webapp.policy.facts import Facts
from webapp.web.house import House
from webapp.web.keys import AppKeys

log = logging.getLogger("counterseal.gateway")

PURPOSE: Final = "origins"
SIZE: Final = 8
"""Bytes of a digest that are kept: a chance of one in 10**15 among two thousand."""
PENDING: Final = 64
"""Results that wait to be written; more are dropped, the oldest first."""
EVERY: Final = 0.5
"""Seconds between a result and its being written, at most one transaction in that time."""
LARGEST: Final = 256_000
"""Bytes of a result that is noted: a larger one is read by no page's table of payees."""


@dataclass(frozen=True)
class Noted:
    """One answered call."""

    asker: Asker
    server: str
    tool: str
    outside: bool
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]
    at: datetime


class Origins:
    """`note` costs a place in a list. One thread (under gevent a greenlet) writes what was noted, until nothing is left."""

    def __init__(self, house: House) -> None:
        self._house, self._keys = house, AppKeys(house.door, PURPOSE)
        self._noted: deque[Noted] = deque(maxlen=PENDING)
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._busy = False
        self._ended = threading.Event()
        house.database.ending.append(self.end)

    def note(self, one: Noted) -> None:
        with self._guard:
            self._noted.append(one)
            begin, self._busy = not self._busy, True
        if begin:
            threading.Thread(target=self._work, name="origins", daemon=True).start()

    def flush(self) -> None:
        """Write what is noted now. Raises KeeperError where its key is not known and the keeper is away, Unavailable."""
        with self._writing:
            found = self._taken()
            if found and not self._ended.is_set():
                rows = self._rows(found)
                if rows:
                    self._house.database.write(lambda s: self._store(s, rows))

    def of(self, asker: Asker, facts: Facts, now: datetime) -> dict[str, Any]:
        """For the envelope: by fact (`amount`, `recipient`), whether a result of this agent had it, and which.
        Raises KeeperError, Unavailable."""
        self.flush()
        within = self._house.settings.gateway.origins_kept
        with self._house.database.read() as session:
            rows = _known(session, asker, now - timedelta(seconds=within))
        keys = self._keys.all(now)
        wanted = _wanted(facts)
        return {"within": within, **{name: _found(rows, keys, asker, values) for name, values in wanted.items()}}

    def end(self) -> None:
        """The database is about to close: nothing is written from here on, nor being written."""
        self._ended.set()
        with self._writing:
            self._noted.clear()

    def _work(self) -> None:
        try:
            while not self._ended.wait(EVERY):
                self._try()
                if self._idle():
                    return
        except BaseException:  # the next result begins anew
            self._busy = False
            raise

    def _idle(self) -> bool:
        with self._guard:
            self._busy = bool(self._noted)
            return not self._busy

    def _try(self) -> None:
        try:
            self.flush()
        except (CountersealError, KeeperError, SQLAlchemyError) as error:
            log.info("results were not noted: %s", type(error).__name__)

    def _taken(self) -> list[Noted]:
        with self._guard:
            found = list(self._noted)
            self._noted.clear()
        return found

    def _rows(self, found: Iterable[Noted]) -> list[HeardResult]:
        key = self._keys.current(self._house.clock())
        rows = []
        for one in found:
            time.sleep(0)  # other calls go between two of them: one thread serves them all
            values = heard(one.result) - sent(one.arguments)
            kept = b"".join(sorted(_digest(key, one.asker, value) for value in values))
            if kept:
                rows.append(HeardResult(
                    id=new_id("hrd"), person=one.asker.person, client=one.asker.client, server=one.server, tool=one.tool,
                    outside=one.outside, at=one.at, digests=kept,
                ))
        return rows

    def _store(self, session: Session, rows: list[HeardResult]) -> None:
        settings = self._house.settings.gateway
        old = self._house.clock() - timedelta(seconds=settings.origins_kept)
        session.execute(delete(HeardResult).where(HeardResult.at <= old))
        session.add_all(rows)
        session.flush()
        for asker in sorted({Asker(row.person, row.client) for row in rows}):
            _bound(session, asker, settings.origins_values)


def carried(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Of an envelope's facts, what is still so where an approver changed the arguments: of the values that stayed."""
    found = before.get("origins") or {}
    same = {
        name: found[name] for name in ("amount", "recipient")
        if name in found and (before.get(name) or {}).get("text") == (after.get(name) or {}).get("text")
    }
    return {"origins": {"within": found["within"], **same}} if same else {}


def _digest(key: Secret[bytes], asker: Asker, value: str) -> bytes:
    """Of one value that one agent got: neither says anything about another agent's."""
    return hmac.digest(key.reveal(), "\0".join((*asker, value)).encode("utf-8", "surrogatepass"), "sha256")[:SIZE]


def _bound(session: Session, asker: Asker, most: int) -> None:
    """The newest stay. Attack: a server whose answers are endless."""
    left, gone = most, list[str]()
    found = select(HeardResult.id, HeardResult.digests).where(_of(asker)).order_by(HeardResult.id.desc())
    for row, digests in session.execute(found):
        left -= len(digests) // SIZE
        if left < 0:
            gone.append(row)
    if gone:
        session.execute(delete(HeardResult).where(HeardResult.id.in_(gone)))


def _of(asker: Asker) -> ColumnElement[bool]:
    return and_(HeardResult.person == asker.person, HeardResult.client == asker.client)


def _known(session: Session, asker: Asker, since: datetime) -> list[HeardResult]:
    """Those that bring in what strangers write first, then the newest: what says more against a value is said."""
    return list(session.scalars(
        select(HeardResult).where(_of(asker), HeardResult.at > since)
        .order_by(HeardResult.outside.desc(), HeardResult.id.desc())
    ))


def _wanted(facts: Facts) -> dict[str, list[str]]:
    """What the call is about, where it is about something that can be looked for."""
    amount = facts.amount if facts.amount.status != "none" else facts.inferred_amount
    recipient = facts.recipient or facts.inferred_recipient
    wanted = {"amount": [amount.text] if amount is not None and amount.text else []}
    if recipient is not None:
        several = recipient.value.split("\n")
        wanted["recipient"] = several if len(several) > 1 else [recipient.text]
    return {name: values for name, values in wanted.items() if values and all(forms(value) for value in values)}


def _found(rows: list[HeardResult], keys: list[Secret[bytes]], asker: Asker, values: list[str]) -> dict[str, Any]:
    """Several recipients were in a result only where each of them was; then that of the first which says most is told."""
    met = [_one(rows, {_digest(key, asker, form) for key in keys for form in forms(value)}) for value in values]
    if not met or not all(met):
        return {"found": False}
    row = max((one for one in met if one is not None), key=lambda one: one.outside)
    return {
        "found": True, "server": row.server, "tool": row.tool, "outside": row.outside,
        "at": row.at.isoformat(timespec="seconds"),
    }


def _one(rows: list[HeardResult], wanted: set[bytes]) -> HeardResult | None:
    return next((row for row in rows if wanted & _apart(row.digests)), None)


def _apart(digests: bytes) -> set[bytes]:
    return {digests[at:at + SIZE] for at in range(0, len(digests), SIZE)}
