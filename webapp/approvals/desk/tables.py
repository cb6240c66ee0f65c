"""What people did with a list: saw a row, opened an action, put it off, kept a view. Nothing here decides anything, and nothing
here is read where something is decided: a row in these tables moves what a page lists, never what may run."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base


class Seen(Base):
    """One for each person and action: when it was first listed to them, and when they first opened its page."""

    __tablename__ = "action_seen"
    shown = ("action", "person")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    listed_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]


class Snooze(Base):
    """Until when a person does not want an action among what waits for them. Theirs alone: it waits for others as before."""

    __tablename__ = "action_snooze"
    __table_args__ = (Index("ix_action_snooze_until", "person", "until"),)
    shown = ("action", "person", "until")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    at: Mapped[datetime]


class SavedView(Base):
    """A list and its filter under a name, for one person. `query` is what the address has behind its question mark."""

    __tablename__ = "saved_view"
    __table_args__ = (UniqueConstraint("person", "name"),)
    shown = ("id", "person")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    name: Mapped[str]
    tab: Mapped[str]
    query: Mapped[str]
    created_at: Mapped[datetime]
