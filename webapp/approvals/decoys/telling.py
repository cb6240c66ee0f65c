"""What is known of a mark, and when: a decoy is over with the first word on it; of what ended without one the keeper is asked.

A row says `decoy` for lists to leave it out. Whatever a row says, the keeper spends nothing on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.payloads import Tampered
from webapp.approvals.rules import LIVE
from webapp.approvals.seeing import Opened, open_
from webapp.approvals.tables import Action
from webapp.approvals.transitions import move, touch
from webapp.web.house import House

REASON = "it was a decoy: no agent asked for it, and nothing ran."
BATCH = 100


def asked_for() -> ColumnElement[bool]:
    """Of what ended: neither a decoy nor one of which that is not known yet. For every list, count and file of the past."""
    return Action.mark.in_(("", "asked"))


def alive_or_asked_for() -> ColumnElement[bool]:
    """The same where what still waits counts too: of that nobody can tell yet."""
    return or_(Action.state.in_(LIVE), asked_for())


def is_decoy(house: House, opened: Opened) -> bool:
    """By the keeper's word. Only for what must not go on if it is one: whoever asks this tells by what follows. Raises
    KeeperError."""
    mark = opened.document.envelope.get("mark")
    return mark is not None and mark != house.door.mark(opened.action.id)


def was_decoy(house: House, opened: Opened) -> bool:
    """Of what is over: by what the keeper signed on it; where nobody said a word, by its word now. Never of what may still run.

    Attack: whoever can write to the database marks a held call as a decoy, so that somebody gives a word on it to be done with
    it; or one that ran, so that it has no receipt. Raises KeeperError."""
    if opened.action.state in LIVE:
        return False
    given = opened.verified.given
    return any(one.decoy for one in given) if given else is_decoy(house, opened)


def tell(session: Session, action: Action, now: datetime, *, decoy: bool) -> None:
    """Once, for good: what the keeper said of its mark."""
    known = update(Action).where(Action.id == action.id, Action.mark == "sealed").values(mark="decoy" if decoy else "asked")
    session.execute(known, execution_options={"synchronize_session": False})
    if decoy:
        audit.append(session, kind="action.decoy", actor="system", subject=action.id, at=now, detail={"digest": action.digest})
        touch(session, action.id, now)


def end(session: Session, action: Action, now: datetime) -> None:
    """Somebody gave a word on it. Raises Conflict where somebody was first."""
    move(session, action, "withdrawn", now, actor="system", reason=REASON, values={"decided_at": now})
    tell(session, action, now, decoy=True)


def ended(house: House, opened: Opened) -> bool:
    """Before a new action is made of this one: whether it is a decoy. Then it is over: its page says so."""
    if not is_decoy(house, opened):
        return False
    now = house.clock()

    def work(session: Session) -> None:
        action = session.get_one(Action, opened.action.id, with_for_update=True)
        if action.state == "held":
            end(session, action, now)

    house.database.write(work)
    return True


def reveal(house: House) -> int:
    """Of what ended without a word, because it lapsed or was stopped: ask the keeper what it was. How many, at most BATCH.
    Raises KeeperError."""
    count = 0
    for action_id in _untold(house):
        try:
            opened = open_(house, action_id)
        except Tampered:  # it says so on its own page; it stays out of the lists
            continue
        decoy = is_decoy(house, opened)
        house.database.write(partial(_told, house=house, action=action_id, decoy=decoy))
        count += 1
    return count


def _told(session: Session, *, house: House, action: str, decoy: bool) -> None:
    tell(session, session.get_one(Action, action), house.clock(), decoy=decoy)


def _untold(house: House) -> Sequence[str]:
    with house.database.read() as session:
        ended = select(Action.id).where(Action.mark == "sealed", Action.state.not_in(LIVE))
        return session.scalars(ended.order_by(Action.id.desc()).limit(BATCH)).all()


def any_sealed(session: Session) -> bool:
    return session.scalar(select(Action.id).where(Action.mark == "sealed").limit(1)) is not None
