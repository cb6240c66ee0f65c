"""Incidents, what each of them touched, and who is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base
from webapp.incidents.rules import GLASS, KINDS, PARTS


class Incident(Base):
    """Something that may be compromised, suspended until somebody lifts that. `subject` is its id (of a provider its name),
    `name` what it was called; `person` whose it is: that person neither lifts nor closes it. Empty where it is nobody's.

    Lifting and closing are two things: an incident is closed with a note, and what it suspended stays so until it is lifted.
    """

    __tablename__ = "incident"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(repr(kind) for kind in (*KINDS, GLASS))})", name="kind"),
        CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted"),
        CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL OR note <> '')", name="closed"),
        Index("ix_incident_subject", "kind", "subject"),
    )
    shown = ("id", "kind", "subject")

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    name: Mapped[str]
    person: Mapped[str]
    reason: Mapped[str]
    before: Mapped[str]
    """The status of the subject before, where it has one."""
    radius: Mapped[dict[str, Any]]
    """What was at stake, as `radius.written` puts it."""
    opened_at: Mapped[datetime]
    opened_by: Mapped[str]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    note: Mapped[str] = mapped_column(default="")


class IncidentPart(Base):
    """One thing that an incident touched and that goes on: an account it suspended (`detail` is its status before), or a request
    to a provider (`subject` is the ledger's)."""

    __tablename__ = "incident_part"
    __table_args__ = (CheckConstraint(f"what IN ({', '.join(repr(what) for what in PARTS)})", name="what"),)
    shown = ("incident", "what", "subject")

    incident: Mapped[str] = mapped_column(ForeignKey("incident.id"), primary_key=True)
    what: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    detail: Mapped[str] = mapped_column(default="")


class IncidentNotice(Base):
    """Somebody who is concerned, and when they put the notice away."""

    __tablename__ = "incident_notice"
    __table_args__ = (Index("ix_incident_notice_person", "person", "dismissed_at"),)
    shown = ("incident", "person", "dismissed_at")

    incident: Mapped[str] = mapped_column(ForeignKey("incident.id"), primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    dismissed_at: Mapped[datetime | None]
