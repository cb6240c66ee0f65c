"""Whom to tell, how, and what was told. Nothing here decides anything, and nothing here is read where something is decided.

`whom` is a person's id, or `group:<name>`. Addresses are sealed by the keeper; what is shown of one is the service's name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base
from webapp.notices.rules import KINDS

_open = text("ended_at IS NULL")


class Channel(Base):
    """A way to one person or group."""

    __tablename__ = "notice_channel"
    __table_args__ = (
        CheckConstraint("kind IN ('apprise', 'push')", name="kind"), Index("ix_notice_channel_whom", "whom"),
    )
    shown = ("id", "whom", "kind", "service")

    id: Mapped[str] = mapped_column(primary_key=True)
    whom: Mapped[str]
    kind: Mapped[str]
    service: Mapped[str]
    """The service's name, or the browser's: never a part of the address."""
    name: Mapped[str]
    """What its owner calls it."""
    sealed: Mapped[str]
    mark: Mapped[str] = mapped_column(default="")
    """Of a browser's subscription: SHA-256 of its endpoint, so that the same browser subscribes once."""
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    sent_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    failure: Mapped[str] = mapped_column(default="")
    """Our words about the last try; empty after one that went well."""
    failures: Mapped[int] = mapped_column(default=0)
    """Tries in a row that did not go well: how long nothing is tried there."""


class Preference(Base):
    """What one person or group wants to be told and when: `rules.Preferences`. The zone is the person's own."""

    __tablename__ = "notice_preference"
    __table_args__ = (
        CheckConstraint("digest IN ('now', 'quarter', 'hourly', 'daily')", name="digest"),
        CheckConstraint("(quiet_first IS NULL) = (quiet_last IS NULL)", name="quiet"),
    )
    shown = ("whom", "digest")

    whom: Mapped[str] = mapped_column(primary_key=True)
    kinds: Mapped[list[str]]
    digest: Mapped[str]
    daily_at: Mapped[int]
    quiet_first: Mapped[int | None]
    quiet_last: Mapped[int | None]
    through: Mapped[bool]
    snoozed_until: Mapped[datetime | None]


class Notice(Base):
    """One thing that one person or group may want to be told, once: an action's id or an entry's, never what is in it."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("whom", "kind", "about"),
        CheckConstraint("kind IN ({})".format(", ".join(f"'{kind}'" for kind in KINDS)), name="kind"),
        Index("ix_notice_open", "whom", "ended_at"), Index("ix_notice_due", "due_at", sqlite_where=_open, postgresql_where=_open),
        Index("ix_notice_about", "about"), Index("ix_notice_at", "at"),
    )
    shown = ("id", "whom", "kind", "about")

    id: Mapped[str] = mapped_column(primary_key=True)
    whom: Mapped[str]
    kind: Mapped[str]
    about: Mapped[str]
    server: Mapped[str]
    """As registered; empty for what is of no server."""
    cls: Mapped[str]
    at: Mapped[datetime]
    due_at: Mapped[datetime]
    """When to look again whether it is to be told."""
    lapses: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it was told, or no longer worth telling."""


class Delivery(Base):
    """One message to one channel. `key` is made of what it tells: it is never made twice."""

    __tablename__ = "notice_delivery"
    __table_args__ = (
        UniqueConstraint("channel", "key"), CheckConstraint("state IN ('waiting', 'sent', 'given_up')", name="state"),
        Index("ix_notice_delivery_at", "made_at"),
    )
    shown = ("id", "channel", "state")

    id: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(ForeignKey("notice_channel.id", ondelete="CASCADE"))
    key: Mapped[str]
    message: Mapped[dict[str, Any]]
    """How many of which: `words.written`."""
    about: Mapped[list[str]]
    """The actions that it counts as waiting: their ids, for their history alone. It is not sent."""
    state: Mapped[str]
    tries: Mapped[int]
    made_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Sent(Base):
    """An action of which a message went out: its history says so once, whoever else is told, and by however many channels."""

    __tablename__ = "notice_sent"
    __table_args__ = (Index("ix_notice_sent_at", "at"),)

    action: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Looked(Base):
    """One row: how far changes and the log were read. What is newer than `entry_before` is read again: of two changes at once the
    later one may be seen first."""

    __tablename__ = "notice_looked"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    changed_at: Mapped[datetime]
    entry: Mapped[str]
    entry_before: Mapped[str]
    marked_at: Mapped[datetime]
