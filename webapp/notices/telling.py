"""From what there is to tell to messages: the person's preferences decide when (`rules`), and each message is made once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.config import Settings
from webapp.db.due import enqueue
from webapp.db.once import insert_once
from webapp.ids import new_id
from webapp.notices import preferences, words
from webapp.notices.looking import still
from webapp.notices.rules import Event, Kind, due
from webapp.notices.tables import Channel, Delivery, Notice, Sent
from webapp.notices.words import Told

SEND = "notices.send"
MOST = 500
"""Notices of one person that are looked at in one go: what lapses first before the rest."""
AT_ONCE = 200
WAITS = ("confirm", "approve", "expiring")


def ready(session: Session, now: datetime) -> list[str]:
    """Who has something that may be told by now."""
    asked = select(Notice.whom).where(Notice.ended_at.is_(None), Notice.due_at <= now).distinct()
    return sorted(session.scalars(asked.limit(AT_ONCE)))


def tell(session: Session, whom: str, settings: Settings, now: datetime) -> int:
    """Make the messages that are due for one person or group; how many. In the caller's transaction."""
    asked = select(Notice).where(Notice.whom == whom, Notice.ended_at.is_(None), Notice.due_at <= now)
    rows = session.scalars(asked.order_by(Notice.lapses.is_(None), Notice.lapses, Notice.id).limit(MOST).with_for_update()).all()
    wanted = preferences.of(session, whom, settings.policy.zone)
    plan = due(now, wanted, [Event(row.id, cast("Kind", row.kind), row.at, row.lapses) for row in rows])
    told = [row for row in rows if row.id in set(plan.told)]
    good = _still_true(session, settings, whom, told, now)
    _end(session, [*plan.told, *plan.dropped], now)
    if plan.again is not None:
        _put_off(session, [row.id for row in rows], plan.again)
    return _deliver(session, whom, good, now) if good else 0


def _still_true(session: Session, settings: Settings, whom: str, told: Sequence[Notice], now: datetime) -> list[Notice]:
    """Attack on patience: a digest that names what was decided hours ago. And what lapses soon is told once, not twice."""
    about = {row.about for row in told if row.kind in (*WAITS, "stuck")}
    here = still(session, settings, whom, about, now)
    soon = {row.about for row in told if row.kind == "expiring"}

    def good(row: Notice) -> bool:
        if row.kind in WAITS:
            return row.about in here["waits"] and (row.kind == "expiring" or row.about not in soon)
        return row.kind != "stuck" or row.about in here["stuck"]

    return [row for row in told if good(row)]


def _deliver(session: Session, whom: str, told: Sequence[Notice], now: datetime) -> int:
    """At least once, and never made twice: the key is made of what is told, and of when it became something to tell."""
    message = words.written(Told(row.kind, row.server, row.cls) for row in told)
    parts = sorted(f"{row.id} {row.at.isoformat()}" for row in told)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    about, made = sorted({row.about for row in told if row.kind in WAITS}), 0
    for channel in session.scalars(select(Channel.id).where(Channel.whom == whom)).all():
        delivery = new_id("dlv")
        if insert_once(session, Delivery, id=delivery, channel=channel, key=key, message=message, about=about, state="waiting",
                       tries=0, made_at=now, ended_at=None):
            enqueue(session, SEND, delivery, now)
            made += 1
    return made


def sent(session: Session, about: Sequence[str], now: datetime) -> None:
    """One of these actions' messages was taken: the first of each is in its history. That it was, and no more: how many were
    told, by what, and who had it put off is between each of them and us. In one order for all: two at once wait, and go on."""
    for action in sorted(about):
        if insert_once(session, Sent, action=action, at=now):
            audit.append(session, kind="action.told", actor="system", subject=action, at=now, detail={})


def _end(session: Session, ids: Sequence[str], now: datetime) -> None:
    session.execute(
        update(Notice).where(Notice.id.in_(ids), Notice.ended_at.is_(None)).values(ended_at=now),
        execution_options={"synchronize_session": False},
    )


def _put_off(session: Session, ids: Sequence[str], again: datetime) -> None:
    session.execute(
        update(Notice).where(Notice.id.in_(ids), Notice.ended_at.is_(None)).values(due_at=again),
        execution_options={"synchronize_session": False},
    )


def clean(session: Session, now: datetime, kept: timedelta) -> None:
    """Forget what was told long ago. What could still be noted again is younger than that."""
    session.execute(delete(Delivery).where(Delivery.made_at < now - kept, Delivery.state != "waiting"))
    session.execute(delete(Notice).where(Notice.at < now - kept, Notice.ended_at.is_not(None)))
    session.execute(delete(Sent).where(Sent.at < now - kept))
