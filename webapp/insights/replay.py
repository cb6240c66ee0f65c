"""Other rules tried on the calls of the last days: what they would have held, allowed, denied. Nothing goes live by it.

A call is asked about again as it was asked about then: the same facts, groups and use, at its own time. What was decided is taken
from then, too. What one verdict would have changed for the calls after it (a limit that was not reached) is not followed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from webapp.approvals.judged.keeping import NOT_KEPT, Unreadable, asked_again, session_known, spoke, word
from webapp.approvals.judged.tables import Judged
from webapp.approvals.tables import Action
from webapp.audit.tables import Entry
from webapp.broker.tables import GIVEN, Lease
from webapp.db import Database
from webapp.db.direct import direct
from webapp.errors import said
from webapp.insights import past
from webapp.insights.reading import Prepared, prepared
from webapp.policy.calls import Call, Verdict
from webapp.policy.engine import PolicySet

PIECE = 50
EXAMPLES, NAMES = 5, 25
"""Of each kind of change; rules, tools and people in a list."""
PAUSE = 0.002
"""Seconds between two pieces: where this runs beside pages, they are served in between."""
APART = timedelta(minutes=10)
"""How far two clocks may differ: the order in which calls were written is nearly that of their times."""
RECIPIENT = said("a rule asks more of the recipient than whether it is a certain one, and that is not kept")
WHOSE = said("a rule asks who the recipient is, and that is not kept of a call that was denied")
SESSION = said("a rule asks what the agent had read before, and that was not looked up, since no rule asked it then")
FORM = said("it was kept in a form that this version cannot read")
COUNTED = ("call.allowed", "call.denied", "token.denied", "action.held")

UNTOLD = Judged.id.in_(select(Action.id).where(Action.mark == "sealed"))
"""Of which nobody can tell yet whether somebody asked for it."""

Progress = Callable[[int, int], None]


@dataclass
class Found:
    """What a trial found. A change is `(verdict then, verdict now)`."""

    digest: str
    since: datetime
    calls: int = 0
    """Tried."""
    total: int = 0
    """Kept of the time that was asked for."""
    not_kept: int = 0
    """Calls of that time that are not among those kept."""
    other_set: int = 0
    """Judged then by another set than the one that decides now."""
    otherwise: int = 0
    """Held then and now, by other rules."""
    cut: bool = False
    """The time was over before all were tried: the latest were."""
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By verdict now and rule, over calls whose verdict changes."""
    tools: Counter[tuple[str, str]] = field(default_factory=Counter)
    people: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    """Calls that could not be tried, by why."""
    examples: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        return self.changes.total()

    def document(self) -> dict[str, Any]:
        """For a row, and for `--json`: bounded."""
        def listed(counted: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
            return [{"verdict": verdict, "name": name, "count": count} for (verdict, name), count in counted.most_common(NAMES)]

        return {
            "digest": self.digest, "since": self.since.isoformat(timespec="seconds"), "calls": self.calls, "total": self.total,
            "not_kept": self.not_kept, "other_set": self.other_set, "cut": self.cut, "otherwise": self.otherwise,
            "unchanged": self.calls - self.changed,
            "changes": [
                {"before": before, "now": now, "count": count, "examples": self.examples[before, now]}
                for (before, now), count in self.changes.most_common()
            ],
            "rules": listed(self.rules), "tools": listed(self.tools), "people": listed(self.people),
            "skipped": [{"why": why, "count": count} for why, count in self.skipped.most_common()],
        }


def run(
    database: Database, candidate: PolicySet, *, days: int, now: datetime, active: str, seconds: float | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Found:
    """`active` is the digest of the set that decides. Stops after `seconds`; None: when all were tried."""
    since, end = now - timedelta(days=days), None if seconds is None else time.monotonic() + seconds
    found = Found(candidate.digest, since)
    found.total, untold, judged = database.aside(
        lambda session: (_kept(session, since, now), _kept(session, since, now, UNTOLD), _judged(session, since, now))
    )
    found.not_kept = max(0, judged - (found.total - untold))
    tried = prepared(candidate)
    for rows in _pieces(database, since, now):
        with database.read() as session:
            for row in rows:
                found.other_set += row.policy != active
                _one(session, tried, row, found)
        progress(found.calls + found.skipped.total(), found.total)
        if end is not None and time.monotonic() >= end and found.calls + found.skipped.total() < found.total:
            found.cut = True
            break
        time.sleep(PAUSE)
    return found


def _kept(session: Session, since: datetime, now: datetime, *only: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Judged).where(Judged.at >= since, Judged.at <= now, *only)) or 0


def _judged(session: Session, since: datetime, now: datetime) -> int:
    """How many calls were judged: by the log, and by the leases of what was handed out. No decoys, which are kept nowhere, and no
    call that may be one yet: the difference to those kept would tell that one waits."""
    logged = select(func.count()).select_from(Entry).where(Entry.at >= since, Entry.at <= now)
    decoys = logged.join(Action, Action.id == Entry.subject).where(
        Entry.kind == "action.held", Action.mark.in_(("sealed", "decoy"))
    )
    entries = (session.scalar(logged.where(Entry.kind.in_(COUNTED))) or 0) - (session.scalar(decoys) or 0)
    handed = session.scalar(select(func.count()).select_from(Lease).where(
        GIVEN, Lease.planned_at >= since, Lease.planned_at <= now
    )) or 0
    return entries + handed


def _pieces(database: Database, since: datetime, now: datetime) -> Iterator[list[Judged]]:
    """The latest first, PIECE at a time: no read stays open for long."""
    query, before = select(Judged).order_by(Judged.number.desc()).limit(PIECE), None
    while True:
        with database.read() as session:
            rows = list(session.scalars(query if before is None else query.where(Judged.number < before)))
        if found := [row for row in rows if since <= row.at <= now]:
            yield found
        if len(rows) < PIECE or rows[-1].at < since - APART:
            return
        before = rows[-1].number


def _one(session: Session, tried: Prepared, row: Judged, found: Found) -> None:
    try:
        call = _asked(session, tried, row)
    except (Unreadable, past.Unknown) as error:
        found.skipped[FORM if isinstance(error, Unreadable) else WHOSE] += 1
        return
    if row.cls in tried.asks and _to_somebody(call):
        found.skipped[RECIPIENT] += 1
        return
    if tried.rules.asks_session(row.cls) and not session_known(row):
        found.skipped[SESSION] += 1
        return
    found.calls += 1
    _note(found, row, tried.rules.decide(call))


def _asked(session: Session, tried: Prepared, row: Judged) -> Call:
    """With the counters that these rules read and the set of then did not; and with its recipient's digest, where they compare
    that."""
    call, wanted = asked_again(row), tried.rules.counted(row.cls)
    missing = wanted - set(wanted if call.usage.counts is None else call.usage.counts)
    compares = row.cls in tried.compares
    if not missing and not compares:
        return call
    on, whose = direct(session), _to_somebody(call) and (compares or past.about_recipient(missing))
    to = past.recipient(on, row) if whose else ""
    return asked_again(row, past.counts(on, row, missing, to), to if compares else NOT_KEPT)


def _to_somebody(call: Call) -> bool:
    return call.facts.recipient is not None or call.facts.inferred_recipient is not None


def _note(found: Found, row: Judged, verdict: Verdict) -> None:
    now = word(verdict)
    if now == row.verdict:
        found.otherwise += now == "hold" and set(spoke(verdict)) != set(row.rules.split())
        return
    spoken = spoke(verdict) or (() if now != "allow" else tuple(row.rules.split()))
    change = row.verdict, now
    found.changes[change] += 1
    found.tools[now, f"{row.server}/{row.tool}"] += 1
    found.people[now, row.person] += 1
    for rule in spoken:
        found.rules[now, rule] += 1
    examples = found.examples.setdefault(change, [])
    if len(examples) < EXAMPLES:
        examples.append({
            "id": row.id, "at": row.at.isoformat(timespec="seconds"), "person": row.person, "server": row.server,
            "tool": row.tool, "rules": list(spoken),
        })
