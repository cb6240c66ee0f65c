"""Leases."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

HANDED_OUT = text("state = 'planned' AND consent <> ''")
"""What a token client may still hold: the only ones that their time alone closes."""
GIVEN = text("consent <> '' AND action IS NULL")
"""What a token client was given without anybody being asked: counted by time."""


class Lease(Base):
    """One access token handed out: to which client and server, for which connection, scopes, tool and action, until when.

    `planned` is written with the call's own entry before the keeper is asked, so that no token leaves without a lease. `ref`
    names an exclusive token to the keeper. `outcome` is how the call ended, in the gateway's word for it.
    """

    __tablename__ = "leases"
    __table_args__ = (
        CheckConstraint("state IN ('planned', 'closed', 'ended')", name="state"),
        Index("ix_leases_connection_planned_at", "connection", "planned_at"),
        Index("ix_leases_handed_out_until", "until", sqlite_where=HANDED_OUT, postgresql_where=HANDED_OUT),
        Index("ix_leases_given_planned_at", "planned_at", sqlite_where=GIVEN, postgresql_where=GIVEN),
    )
    shown = ("id", "connection", "server", "tool", "state")

    id: Mapped[str] = mapped_column(primary_key=True)
    connection: Mapped[str]
    person: Mapped[str]
    client: Mapped[str]
    grant: Mapped[str]
    server: Mapped[str]
    tool: Mapped[str]
    action: Mapped[str | None] = mapped_column(index=True)
    scopes: Mapped[list[str]]
    exclusive: Mapped[bool]
    cap: Mapped[int]
    """Seconds."""
    state: Mapped[str]
    outcome: Mapped[str] = mapped_column(default="")
    ref: Mapped[str] = mapped_column(default="")
    planned_at: Mapped[datetime]
    until: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    consent: Mapped[str] = mapped_column(default="")
    """Of a token that was handed to a token client: the person's consent for it. Empty where the gateway kept the token."""
    actors: Mapped[list[str]]
    """Then who acts for the person (RFC 8693 section 4.1), the current actor first: the token client, and the agent that called
    it."""
