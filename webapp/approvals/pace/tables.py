"""Reports of agents, and how people decide. A row here only ever tightens."""

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


class Look(Base):
    """One person's look at one action: when the server first showed it to them, and when and how they decided."""

    __tablename__ = "approver_look"
    __table_args__ = (
        CheckConstraint("verdict IN ('', 'approve', 'confirm', 'reject')", name="verdict"),
        CheckConstraint("(verdict = '') = (decided_at IS NULL)", name="decided"),
        Index("ix_approver_look_last", "person", "decided_at"),
        # The figures for admins are counted from this alone, in its order: nothing is sorted.
        Index("ix_approver_look_figures", "person", "verdict", "band", "place", "decided_at", "streak", "asked", "missed"),
    )
    shown = ("action", "person", "verdict")

    action: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    opened_at: Mapped[datetime | None]
    """None where the server never showed it to them."""
    decided_at: Mapped[datetime | None]
    verdict: Mapped[str]
    seconds: Mapped[int | None]
    """From the first look to the decision."""
    place: Mapped[int]
    """Of that time among the classes of times."""
    band: Mapped[int]
    """Of its size: 0 where it has no amount."""
    quick: Mapped[bool]
    streak: Mapped[int]
    """How many quick approvals in a row it makes."""
    asked: Mapped[bool]
    """Whether a typed detail was asked for, and given."""
    missed: Mapped[int]
    """How often something else was typed."""
