"""Trials that are begun on a page: the set is read at once, so that a mistake is said at once, and tried by a worker."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.config import Settings
from webapp.db.count import changed
from webapp.db.due import Due, enqueue
from webapp.errors import BadInput, LimitReached, Missing, Unavailable, carried, said
from webapp.ids import new_id
from webapp.insights import replay
from webapp.insights.tables import Trial
from webapp.policy import active, engine
from webapp.policy.engine import PolicySet
from webapp.policy.errors import PolicyRefused
from webapp.policy.tables import ONLY, ActivePolicy
from webapp.web.house import House

RUN = "insights.replay"
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}\.cedar", re.ASCII)
WAITING, KEPT, EVERY = 5, 50, timedelta(seconds=1)
"""Trials that may wait; trials that stay listed; how often progress is written."""
SILENT = timedelta(hours=1)
"""One that was begun longer ago and has not ended keeps no other from being begun."""
CHANGED = said(
    "The files of rules changed after this was begun, so what it would have tried is not there any more. Begin it again."
)


def read(settings: Settings, name: str, text: str) -> PolicySet:
    """The set that would be: the files of this machine, and over them the one that was typed. Raises PolicyRefused, BadInput."""
    if not text.strip():
        return active.read(settings)
    if not FILE.fullmatch(name):
        raise BadInput("Name the file as in the folder: letters, digits, `.`, `-`, `_`, and `.cedar` at the end.")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8")
        return engine.load([*active.folders(settings), Path(folder)], settings.policy, within=settings.approvals.within)


def begin(house: House, actor: str, *, days: int, name: str, text: str) -> str:
    """The trial's id. Raises PolicyRefused, BadInput, LimitReached."""
    if not 1 <= days <= house.settings.insights.requests_days:
        most = house.settings.insights.requests_days
        raise BadInput(said("From 1 to %(most)s days: no call is kept for longer.", most=most))
    text = text.replace("\r\n", "\n")
    name = name.strip() if text.strip() else ""
    found = read(house.settings, name, text)
    return house.database.write(lambda s: _begin(s, actor, days, name, text, found.digest, house.clock()))


def _begin(session: Session, actor: str, days: int, name: str, text: str, digest: str, now: datetime) -> str:
    unended = Trial.state.in_(("waiting", "running")), Trial.at > now - SILENT
    waiting = session.scalar(select(func.count()).select_from(Trial).where(*unended)) or 0
    if waiting >= WAITING:
        raise LimitReached(said("%(count)s trials are under way already. Wait for one to end.", count=waiting))
    one = new_id("try")
    session.add(Trial(id=one, by=actor.removeprefix("person:"), at=now, days=days, name=name, text=text if name else "",
                      digest=digest, state="waiting"))
    old = select(Trial.id).order_by(Trial.at.desc(), Trial.id.desc()).offset(KEPT)
    session.flush()
    session.execute(delete(Trial).where(Trial.id.in_(list(session.scalars(old)))))
    enqueue(session, RUN, one, now)
    audit.append(session, kind="policy.tried", actor=actor, subject=digest, at=now, detail={"trial": one, "days": days})
    return one


def one(session: Session, trial: str) -> Trial:
    """Raises Missing."""
    found = session.get(Trial, trial)
    if found is None:
        raise Missing("There is no such trial, or it is listed no longer.")
    return found


def latest(session: Session) -> Sequence[Trial]:
    return session.scalars(select(Trial).order_by(Trial.at.desc(), Trial.id.desc()).limit(20)).all()


def decides(session: Session) -> str:
    """Digest of the set that decides; empty where none was activated."""
    return session.scalar(select(ActivePolicy.digest).where(ActivePolicy.id == ONLY)) or ""


def work(house: House, due: Due) -> datetime | None:
    """The worker's part. One that another worker left in the middle is done anew."""
    with house.database.read() as session:
        trial = session.get(Trial, due.key)
        digest = decides(session)
    if trial is None or trial.state in ("done", "failed"):
        return None
    try:
        candidate = read(house.settings, trial.name, trial.text)
    except (PolicyRefused, BadInput) as error:
        _end(house, trial.id, problem=error.hint)
        return None
    if candidate.digest != trial.digest:
        _end(house, trial.id, problem=CHANGED)
        return None
    found = replay.run(
        house.database, candidate, days=trial.days, now=trial.at, active=digest,
        seconds=house.settings.insights.replay_seconds, progress=_progress(house, trial.id),
    )
    _end(house, trial.id, result=found)
    return None


def _progress(house: House, trial: str) -> replay.Progress:
    told = [house.clock() - EVERY]

    def tell(done: int, total: int) -> None:
        now = house.clock()
        if now - told[0] >= EVERY:
            told[0] = now
            with suppress(Unavailable):  # what it finds is written at its end
                house.database.write(lambda s: _set(s, trial, state="running", done=done, total=total))

    return tell


def _end(house: House, trial: str, *, problem: str = "", result: replay.Found | None = None) -> None:
    values = {"problem": problem, "ended_at": house.clock(), "state": "failed" if result is None else "done"}
    if result is None:
        values["result"] = carried(problem)
    else:
        values |= {"result": result.document(), "done": result.calls + result.skipped.total(), "total": result.total}
    house.database.write(lambda s: _set(s, trial, **values))


def _set(session: Session, trial: str, **values: object) -> bool:
    where = (Trial.id == trial, Trial.state.in_(("waiting", "running")))
    return changed(session.execute(update(Trial).where(*where).values(**values))) == 1
