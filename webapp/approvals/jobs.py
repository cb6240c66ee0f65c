"""Due rows of this room: lapses, silent executions, tasks to run, results past their time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import claims, escalating, requests, shortage
from webapp.approvals.deciding import drifted
from webapp.approvals.decoys import jobs as decoys
from webapp.approvals.desk import snoozing
from webapp.approvals.execution import NotYet, run
from webapp.approvals.holding import COMPARE
from webapp.approvals.outcome import Handed, nobody_came
from webapp.approvals.rules import WAITING
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action, Payload
from webapp.approvals.transitions import move
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.web.house import House

Handler = Callable[[House, Due], "datetime | None"]

OFTEN, SELDOM = timedelta(minutes=1), timedelta(minutes=5)
NOBODY_DECIDED = "nobody decided in time."
SILENT = "the program that ran it fell silent before it had an answer."


def handlers(handed: Handed) -> dict[str, Handler]:
    """By kind, for the composition root."""
    return {
        **jobs, "approvals.run": lambda house, row: run_task(house, row, handed),
        COMPARE: lambda house, row: compare(house, row, handed),
        decoys.KIND: lambda house, row: decoys.work(house, row, handed),
    }


def expire(house: House, row: Due) -> datetime | None:
    """A held action lapses at `expires_at`, an approved one at `run_by`; then its documents go after their time."""
    return house.database.write(lambda s: _expire(s, row.key, house.clock(), house.settings.evaluation))


def sweep(house: House, row: Due) -> datetime | None:
    """An execution whose heartbeat fell silent is uncertain; looked at until it ends."""
    silence = timedelta(seconds=house.settings.approvals.silence)
    return house.database.write(lambda s: _sweep(s, row.key, house.clock(), silence, house))


def compare(house: House, row: Due, handed: Handed) -> datetime | None:
    """What drifts while nobody looks is void too, and the agent that waits hears of it; looked at as long as it waits."""
    with house.database.read() as session:
        state = session.scalar(select(Action.state).where(Action.id == row.key))
    if state not in WAITING or drifted(house, open_(house, row.key), handed.recheck) is not None:
        return None
    return house.clock() + timedelta(seconds=house.settings.approvals.compared_every)


def clean(house: House, row: Due) -> datetime | None:
    """Shred a result after its time; the request stays with the record."""
    return house.database.write(lambda s: _clean(s, row.key, house.clock()))


def run_task(house: House, row: Due, handed: Handed) -> datetime | None:
    """An approved task, at once, or when it can no longer be stopped. What cannot begin is tried again by the worker's
    backoff until the approval lapses."""
    try:
        run(house, row.key, handed.executor, handed.recheck)
    except NotYet as error:
        return error.at
    except Conflict:
        return None
    return None


jobs: dict[str, Handler] = {
    "approvals.expire": expire, "approvals.sweep": sweep, "approvals.clean": clean, requests.CLEAN: requests.clean,
    claims.LAPSE: claims.lapse,
    **snoozing.jobs,
}


def _expire(session: Session, action_id: str, now: datetime, evaluation: bool) -> datetime | None:
    action = session.get(Action, action_id, with_for_update=True)
    if action is None or action.state not in ("held", "approved"):
        return None
    at = action.run_by or action.expires_at
    if now < at:
        return _looked(session, action, now, at, evaluation)
    reason = NOBODY_DECIDED if action.state == "held" else nobody_came(action)
    move(session, action, "expired", now, actor="system", reason=reason)
    return None


def _looked(session: Session, action: Action, now: datetime, at: datetime, evaluation: bool) -> datetime:
    """Until then it is looked again whether somebody is there who can decide: sooner where nobody was."""
    if action.state != "held":
        return at
    shortage.again(session, action, now, evaluation=evaluation)
    following = escalating.step(session, action, now)
    session.refresh(action)
    return min(at, following or at, now + (OFTEN if action.short else SELDOM))


def _sweep(session: Session, action_id: str, now: datetime, silence: timedelta, house: House) -> datetime | None:
    action = session.get(Action, action_id, with_for_update=True)
    if action is None or action.state != "executing":
        return None
    last = action.heartbeat_at or action.started_at or action.created_at
    if now < last + silence:
        return last + silence
    move(session, action, "uncertain", now, actor="system", reason=SILENT, detail={"run": action.run})
    return None


def _clean(session: Session, action_id: str, now: datetime) -> datetime | None:
    action = session.get(Action, action_id)
    shredded = delete(Payload).where(Payload.action == action_id, Payload.direction == "result")
    session.execute(shredded)
    if action is not None:
        audit.append(session, kind="action.result_shredded", actor="system", subject=action_id, at=now,
                     detail={"digest": action.digest})
    return None

