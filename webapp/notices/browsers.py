"""A person's browsers that are told by push: one channel for each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from webapp.ids import new_id
from webapp.notices import channels, push
from webapp.notices.tables import Channel
from webapp.people.rules import browser_words
from webapp.web.house import House
from webapp.web.viewer import Viewer


def subscribe(house: House, viewer: Viewer, given: str, browser: str) -> str:
    """Its channel. The same browser again replaces what it said before: its keys may be new, and what waits to be told there goes
    on waiting. A browser in which somebody else signed in belongs to whoever sits there now. Raises BadInput, LimitReached,
    KeeperError."""
    settings, now = house.settings.notices, house.clock()
    found = push.read(given, settings.push_services)
    with house.database.read() as session:
        known = session.scalars(_with(found.mark).where(Channel.whom == viewer.person).order_by(Channel.id)).first()
    channel, actor = known or new_id("chn"), f"person:{viewer.person}"
    words, sealed = browser_words(browser), house.door.channel_seal(channel=channel, url=found.written())

    def write(session: Session) -> None:
        for before, whom in session.execute(_with(found.mark, Channel.whom).where(Channel.id != channel)).all():
            channels.remove(session, before, whom, actor, now, "the browser subscribed again")
        if not channels.renew(session, channel, viewer.person, words, sealed, now):
            channels.store(session, Channel(
                id=channel, whom=viewer.person, kind="push", service=words, name="", mark=found.mark, made_at=now, made_by=actor,
                sealed=sealed,
            ), settings.channels, actor, now)

    house.database.write(write)
    return channel


def unsubscribe(house: House, viewer: Viewer, endpoint: str) -> None:
    """Twice is once."""
    mark, now = push.Subscription(endpoint, "", "").mark, house.clock()

    def write(session: Session) -> None:
        mine = _with(mark).where(Channel.whom == viewer.person)
        for channel in session.scalars(mine).all():
            channels.remove(session, channel, viewer.person, f"person:{viewer.person}", now, "the browser unsubscribed")

    house.database.write(write)


def _with(mark: str, *more: Any) -> Select[Any]:
    return select(Channel.id, *more).where(Channel.mark == mark)
