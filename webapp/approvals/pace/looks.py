"""Who opened what and when, as the server saw it, and how fast they decided: for asking a typed detail, and for admins.

A row here only tightens: it adds a question, and approves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import String, bindparam, func, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.pace import rules
from webapp.approvals.pace.rules import Decided, Detail
from webapp.approvals.pace.tables import Look
from webapp.approvals.seeing import Opened
from webapp.config_approvals import Approvals
from webapp.db.direct import Made, direct
from webapp.db.once import insert_once
from webapp.errors import BadInput, Conflict, Unavailable
from webapp.web.house import House

TOGETHER = "You decided several at the same moment. Look at this one again; you are asked to type something that it shows."
UNDECIDED: Mapping[str, Any] = {"verdict": "", "place": 0, "streak": 0, "missed": 0, "quick": False, "asked": False}
JUDGED = ("approve", "confirm", "reject")
ALONE = Made(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("person", type_=String), 14))))
"""A lock of its own. It is taken while an action's row is locked; `connections.lookup.alone` (11) is held by an incident that
goes on to lock the rows of the person's actions, and the two would wait for each other."""


THEIRS = (Look.action == bindparam("of"), Look.person == bindparam("by"))
LOOKED = Made(select(Look.opened_at).where(*THEIRS))
STREAK = Made(
    select(Look.streak).where(Look.person == bindparam("by"), Look.decided_at.is_not(None))
    .order_by(Look.decided_at.desc()).limit(1)
)
DECIDED = Made(update(Look).where(*THEIRS, Look.decided_at.is_(None)).values(
    decided_at=bindparam("now"), verdict=bindparam("said"), seconds=bindparam("took"), place=bindparam("where"),
    quick=bindparam("fast"), asked=bindparam("typed"), streak=bindparam("row"),
))


def opened(house: House, action: str, person: str, band: int) -> None:
    """The page was shown to somebody who may decide. The first time counts. A mark that cannot be written keeps nobody from
    looking: what they decide is then a quick decision."""
    now = house.clock()
    with house.database.read() as session:
        if session.get(Look, (action, person)) is not None:
            return
    with suppress(Unavailable):
        house.database.write(lambda s: insert_once(
            s, Look, action=action, person=person, opened_at=now, band=band, **UNDECIDED
        ))


def asked_of(house: House, person: str, opened: Opened) -> Detail | None:
    """What this person has to type to approve this action now; None when nothing is asked."""
    with house.database.read() as session:
        fast = rules.in_a_row(_last(session, person, house.settings.approvals), house.clock(), house.settings.approvals)
    return rules.detail_of(opened.document) if fast else None


def require(house: House, person: str, opened: Opened, typed: str) -> bool:
    """Before a factor is spent: whether something was asked and typed. Raises BadInput, and counts it, where it was not."""
    detail = asked_of(house, person, opened)
    if detail is None:
        return False
    try:
        rules.check(detail, typed)
    except BadInput:
        if typed.strip():
            house.database.write(lambda s: _missed(s, opened.action.id, person, detail, house.clock()))
        raise
    return True


def decided(session: Session, settings: Approvals, action: str, person: str, verdict: str, *, asked: bool, now: datetime) -> None:
    """In the transaction of the decision. Raises Conflict when other decisions of this person, made at the same moment, make this
    one too many in a row. Only the first decision of a person on an action is judged by its pace; an emergency (any other
    verdict) is not."""
    if verdict not in JUDGED:
        return
    on = direct(session)
    if on.dialect.name == "postgresql":
        on.rows(ALONE, {"person": person})
    last = _last(session, person, settings)
    if verdict != "reject" and not asked and rules.in_a_row(last, now, settings):
        raise Conflict(TOGETHER)
    look = on.row(LOOKED, {"of": action, "by": person})
    if look is None:
        insert_once(session, Look, action=action, person=person, opened_at=None, band=0, **UNDECIDED)
        look = on.row(LOOKED, {"of": action, "by": person})
    since = look[0] if look else None
    quick, before = rules.is_quick(since, now, settings), on.row(STREAK, {"by": person})
    seconds = None if since is None else max(0, int((now - since).total_seconds()))
    streak = (before[0] if before else 0) + 1 if quick and verdict != "reject" else 0
    on.run(DECIDED, {
        "of": action, "by": person, "now": now, "said": verdict, "took": seconds, "where": rules.place(seconds),
        "fast": quick, "typed": asked, "row": streak,
    })


def _last(session: Session, person: str, settings: Approvals) -> Sequence[Decided]:
    if not settings.quick_row:
        return ()
    rows = session.execute(
        select(Look.decided_at, Look.verdict, Look.quick).where(Look.person == person, Look.decided_at.is_not(None))
        .order_by(Look.decided_at.desc()).limit(settings.quick_row)
    )
    return [Decided(at, verdict, quick) for at, verdict, quick in rows if at is not None]


def _missed(session: Session, action: str, person: str, detail: Detail, now: datetime) -> None:
    session.execute(
        update(Look).where(Look.action == action, Look.person == person).values(missed=Look.missed + 1),
        execution_options={"synchronize_session": False},
    )
    audit.append(session, kind="approver.detail_missed", actor=f"person:{person}", subject=action, at=now,
                 detail={"asked": detail.kind})
