"""Reports of agents. A row here only ever tightens."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

_open = text("resumed_at IS NULL")


class Report(Base):
    """Somebody who was asked to decide reported an agent: what it asks in this person's name is paused until it is resumed.

    Agents are public clients: one that was reported can register again under another name. So unless all of `clients` were
    vouched for (`known`), every agent of this person that nobody vouches for is paused with them.
    """

    __tablename__ = "agent_report"
    __table_args__ = (
        CheckConstraint("(resumed_at IS NULL) = (resumed_by IS NULL) AND (resumed_at IS NULL OR note <> '')", name="resumed"),
        Index("ix_agent_report_open", "person", sqlite_where=_open, postgresql_where=_open),
        Index("ix_agent_report_reporter", "reporter", "id"),
    )
    shown = ("id", "action", "person")

    id: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str]
    """What was rejected with it."""
    person: Mapped[str]
    """Whose calls are paused."""
    clients: Mapped[list[str]]
    """The agent; and the server that asked for a token, where one did."""
    client_name: Mapped[str]
    """What it called itself then."""
    known: Mapped[bool]
    reporter: Mapped[str]
    reason: Mapped[str]
    reason_code: Mapped[str]
    withdrawn: Mapped[int]
    """How many other actions were taken back with it."""
    created_at: Mapped[datetime]
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[str | None]
    note: Mapped[str] = mapped_column(default="")
    """Why it was resumed."""
