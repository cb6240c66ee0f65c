"""Due rows of this room: the look at what there is to tell, and each message on its way."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.db.count import changed
from webapp.db.due import Due
from webapp.errors import LimitReached
from webapp.notices import channels, looking, telling, words
from webapp.notices.outward import Answer
from webapp.notices.tables import Channel, Delivery
from webapp.people import suspension
from webapp.web.house import House

FIRST = 30
"""Seconds until the second try; then twice as long each time."""
BUSY = 2
"""Seconds until a message that found no seat is tried."""


def look(house: House, row: Due) -> datetime | None:
    """Every few seconds, as long as anybody has a channel."""
    now, settings = house.clock(), house.settings
    with house.database.read() as session:
        listened = session.scalar(select(Channel.id).limit(1)) is not None
    if not listened:
        house.database.write(looking.forget)
        return None
    looking.look(house, now)
    with house.database.read() as session:
        whoms = telling.ready(session, now)
    for whom in whoms:
        house.database.write(lambda s, whom=whom: telling.tell(s, whom, settings, now))  # type: ignore[misc]
    return now + timedelta(seconds=settings.notices.every)


def send(house: House, row: Due) -> datetime | None:
    """One try; again later, each time twice as long, until it is no news any more, or its person is suspended. A worker that dies
    after the service took the message tries once more: at least once. Raises KeeperError: the worker tries again by itself."""
    with house.database.read() as session:
        delivery = session.get(Delivery, row.key)
        channel = session.get(Channel, delivery.channel) if delivery is not None else None
        kept_out = channel is not None and bool(suspension.among(session, [channel.whom]))
    if delivery is None or channel is None or delivery.state != "waiting":
        return None
    now, settings = house.clock(), house.settings.notices
    if kept_out or now - delivery.made_at >= timedelta(seconds=settings.give_up):
        house.database.write(lambda s: _given_up(s, delivery, now))
        return None
    if (rest := _rests(channel, settings.backoff_max)) is not None and now < rest:
        return rest
    try:
        answer = channels.deliver(house, channel, words.read(delivery.message, house.settings.public_url))
    except LimitReached:  # the seats for sending are taken: the worker's other seats are for other work
        return now + timedelta(seconds=BUSY)
    house.database.write(lambda s: _settle(s, delivery, channel, answer, now))
    return None if answer.good or answer.why == "gone" else now + pause(channel.failures, settings.backoff_max)


def _rests(channel: Channel, most: int) -> datetime | None:
    """Until when nothing is tried there. It is the channel's: attack: a service that never answers, and a message to it for each
    of somebody's calls, would take every seat there is."""
    return channel.failed_at + pause(channel.failures - 1, most) if channel.failures and channel.failed_at is not None else None


def pause(failures: int, most: int) -> timedelta:
    return timedelta(seconds=min(most, FIRST * 2 ** min(failures, 16)))


def _settle(session: Session, delivery: Delivery, channel: Channel, answer: Answer, now: datetime) -> None:
    values = {"state": "sent", "ended_at": now} if answer.good else {"tries": Delivery.tries + 1}
    waiting = update(Delivery).where(Delivery.id == delivery.id, Delivery.state == "waiting")
    if changed(session.execute(waiting.values(**values), execution_options={"synchronize_session": False})) == 1:
        channels.note(session, channel, answer, now)
        if answer.good:
            telling.sent(session, delivery.about, now)


def _given_up(session: Session, delivery: Delivery, now: datetime) -> None:
    waiting = update(Delivery).where(Delivery.id == delivery.id, Delivery.state == "waiting")
    given_up = waiting.values(state="given_up", ended_at=now)
    if changed(session.execute(given_up, execution_options={"synchronize_session": False})) == 1:
        audit.append(session, kind="notice.given_up", actor="system", subject=delivery.channel, at=now,
                     detail={"tries": delivery.tries})


def clean(house: House, row: Due) -> datetime | None:
    kept = timedelta(seconds=house.settings.notices.history)
    house.database.write(lambda s: telling.clean(s, house.clock(), kept))
    with house.database.read() as session:
        return house.clock() + channels.DAILY if session.scalar(select(Channel.id).limit(1)) is not None else None


jobs = {channels.LOOK: look, telling.SEND: send, channels.CLEAN: clean}
