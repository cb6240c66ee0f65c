"""A person's or group's channels: made, tried, taken away. An address is sealed by the keeper and never shown again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from vault.secret import Secret
from webapp import audit
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import BadInput, Conflict, LimitReached, Missing, said
from webapp.ids import new_id
from webapp.notices import outward, push, speaking, words
from webapp.notices.outward import Answer
from webapp.notices.tables import Channel, Delivery, Notice
from webapp.notices.words import Message
from webapp.web.house import House

LOOK, CLEAN = "notices.look", "notices.clean"
DAILY = timedelta(days=1)
LONGEST = 2048
NAMED = 60
BETWEEN = timedelta(seconds=10)
"""Between two tests of one channel: each starts a process."""


def of(session: Session, whom: str) -> Sequence[Channel]:
    return session.scalars(select(Channel).where(Channel.whom == whom).order_by(Channel.id)).all()


def add(house: House, whom: str, url: Secret[str], name: str, actor: str) -> str:
    """Its id. Raises BadInput with words for the person, LimitReached, KeeperError. Nothing is sent."""
    if not 0 < len(url.reveal()) <= LONGEST or not all("!" <= char <= "~" for char in url.reveal()):
        raise BadInput("An address has no blanks and at most 2,048 plain characters.")
    found = outward.check(house.settings.notices, url)
    if not found.good:
        raise BadInput(found.words)
    channel, now = new_id("chn"), house.clock()
    sealed = house.door.channel_seal(channel=channel, url=url)
    row = Channel(
        id=channel, whom=whom, kind="apprise", service=found.service, name=name.strip()[:NAMED], sealed=sealed, mark="",
        made_at=now, made_by=actor,
    )
    house.database.write(lambda s: store(s, row, house.settings.notices.channels, actor, now))
    return channel


def store(session: Session, row: Channel, most: int, actor: str, now: datetime) -> None:
    """In the caller's transaction; from here on somebody looks what there is to tell. Raises LimitReached."""
    _one_at_a_time(session, row.whom)
    count = session.scalar(select(func.count()).select_from(Channel).where(Channel.whom == row.whom)) or 0
    if count >= most:
        raise LimitReached(said("There are %(count)s channels already. Take one away first.", count=count))
    whom, service = row.whom, row.service
    session.add(row)
    enqueue(session, LOOK, "all", now)
    enqueue(session, CLEAN, "all", now + DAILY)
    audit.append(session, kind="channel.added", actor=actor, subject=row.id, at=now, detail={"whom": whom, "service": service})


def renew(session: Session, channel: str, whom: str, service: str, sealed: str, now: datetime) -> bool:
    """Its address anew, sealed for this very channel; whether it is there. Nothing that waits for it is lost."""
    values = {"service": service, "sealed": sealed, "failed_at": None, "failure": "", "failures": 0}
    there = update(Channel).where(Channel.id == channel, Channel.whom == whom)
    if changed(session.execute(there.values(**values), execution_options={"synchronize_session": False})) != 1:
        return False
    audit.append(session, kind="channel.renewed", actor=f"person:{whom}", subject=channel, at=now,
                 detail={"whom": whom, "service": service})
    return True


def _one_at_a_time(session: Session, whom: str) -> None:
    """Before they are counted: of two added at once the second counts the first. SQLite has one writer."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:whom, 15))"), {"whom": whom})


def find(session: Session, channel: str, whom: str) -> Channel:
    """Raises Missing for what is not there and for what is another's: both look alike."""
    row = session.scalar(select(Channel).where(Channel.id == channel, Channel.whom == whom))
    if row is None:
        raise Missing("There is no such channel, or it is not yours.")
    return row


def remove(session: Session, channel: str, whom: str, actor: str, now: datetime, why: str = "taken away") -> None:
    row = find(session, channel, whom)
    service = row.service
    session.execute(delete(Delivery).where(Delivery.channel == channel))
    session.execute(delete(Channel).where(Channel.id == channel))
    if not of(session, whom):
        session.execute(delete(Notice).where(Notice.whom == whom, Notice.ended_at.is_(None)))
    audit.append(session, kind="channel.removed", actor=actor, subject=channel, at=now,
                 detail={"whom": whom, "service": service, "why": why})


def test(house: House, channel: str, whom: str) -> Answer:
    """Send a message that says it is a test, and remember how that went. Raises Missing, KeeperError, LimitReached."""
    with house.database.read() as session:
        row = find(session, channel, whom)
    last = max((at for at in (row.sent_at, row.failed_at) if at is not None), default=None)
    if last is not None and house.clock() - last < BETWEEN:
        raise LimitReached("Something was sent there only just now. Wait ten seconds.")
    answer = deliver(house, row, words.test(house.settings.public_url), waited_for=True)
    now = house.clock()
    house.database.write(lambda s: note(s, row, answer, now))
    return answer


def deliver(house: House, row: Channel, message: Message, *, waited_for: bool = False) -> Answer:
    """One try, in the language of whoever is told. The address is in clear from here to the process that sends, and nowhere
    else. Raises KeeperError."""
    message = message.told(speaking.tongue_of(house, row.whom))
    address = house.door.channel_open(channel=row.id, sealed=row.sealed)
    if row.kind == "push":
        return push.send(house, address, message, waited_for=waited_for)
    return outward.send(house.settings.notices, address, message, waited_for=waited_for)


def note(session: Session, row: Channel, answer: Answer, now: datetime) -> None:
    """How the last try went, for its owner; a browser that took its permission back is forgotten."""
    if answer.why == "gone":
        try:
            remove(session, row.id, row.whom, "system", now, "the browser took its permission back")
        except (Missing, Conflict):
            return
        return
    sent = {"sent_at": now, "failure": "", "failures": 0}
    failed = {"failed_at": now, "failure": answer.words, "failures": Channel.failures + 1}
    session.execute(
        update(Channel).where(Channel.id == row.id).values(sent if answer.good else failed),
        execution_options={"synchronize_session": False},
    )
