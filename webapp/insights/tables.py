"""What is gathered for the figures, so that a page counts from one index; marks of regret; and trials of other rules.

Nothing here decides anything: actions, entries and decisions are read for these tables, and never the other way.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base


class Paced(Base):
    """One action, as the figures count it."""

    __tablename__ = "insight_action"
    __table_args__ = (
        # Each figure is counted from this alone.
        Index("ix_insight_action_figures", "at", "server", "tool", "hour", "look", "decided", "owner", "action"),
    )
    shown = ("action", "state")

    action: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    """When it was held."""
    server: Mapped[str]
    tool: Mapped[str]
    hour: Mapped[int]
    """Of the day, in the zone of the policy."""
    owner: Mapped[bool]
    """Whether its owner's own confirmation was asked for."""
    look: Mapped[int | None]
    """Seconds until somebody who could decide it first opened it."""
    decided: Mapped[int | None]
    """Seconds until all that it needed was given, or somebody refused it."""
    state: Mapped[str]


class RuleSpoke(Base):
    """One rule that held or denied one call."""

    __tablename__ = "insight_rule"
    __table_args__ = (
        CheckConstraint("verdict IN ('hold', 'deny')", name="verdict"),
        Index("ix_insight_rule_figures", "at", "rule", "verdict", "subject"),
    )
    shown = ("rule", "subject", "verdict")

    subject: Mapped[str] = mapped_column(primary_key=True)
    """The action; of a denied call, its entry's."""
    rule: Mapped[str] = mapped_column(primary_key=True)
    verdict: Mapped[str]
    at: Mapped[datetime]


class Gathered(Base):
    """One row: up to where actions and the log were read."""

    __tablename__ = "insight_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    changed_at: Mapped[datetime | None]
    place: Mapped[int] = mapped_column(BigInteger, default=-1)
    """Of the last entry that was read."""


class Regret(Base):
    """Somebody says of an action that was done that it should not have run, and why."""

    __tablename__ = "action_regret"
    __table_args__ = (CheckConstraint("reason <> ''", name="reason"), Index("ix_action_regret_at", "at"))
    shown = ("action", "person")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    at: Mapped[datetime]


class Trial(Base):
    """Other rules, tried on the calls that were kept."""

    __tablename__ = "policy_trial"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
        Index("ix_policy_trial_at", "at"),
    )
    shown = ("id", "state", "digest")

    id: Mapped[str] = mapped_column(primary_key=True)
    by: Mapped[str]
    at: Mapped[datetime]
    days: Mapped[int]
    name: Mapped[str]
    """Of the file that was typed; empty where none was."""
    text: Mapped[str]
    digest: Mapped[str]
    """Of the set that is tried."""
    state: Mapped[str]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]
    problem: Mapped[str] = mapped_column(default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Of one that failed: what the problem's sentence was made of."""
