"""Clients, and how many registered in an hour."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

SELF = "itself"


class Client(Base):
    """An OAuth client: an agent (an MCP client), or a token client (an MCP server that asks for tokens).

    `name` is what the client says of itself. `verified` is an admin's word: nothing that a client sends sets it (promise 10).
    """

    __tablename__ = "client"
    __table_args__ = (
        CheckConstraint("kind IN ('agent', 'token')", name="kind"),
        CheckConstraint("status IN ('active', 'paused', 'revoked')", name="status"),
        Index("ix_client_created_at", "created_at"),
    )
    shown = ("id", "kind", "status", "verified")

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    redirect_uris: Mapped[list[str]]
    status: Mapped[str] = mapped_column(default="active")
    verified: Mapped[bool] = mapped_column(default=False)
    registered_by: Mapped[str] = mapped_column(default=SELF)
    created_at: Mapped[datetime]


class RegistrationCount(Base):
    """How many clients registered from one source, or from all, in one hour: counted where every process sees it."""

    __tablename__ = "client_registrations"
    shown = ("bucket", "count")

    bucket: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    hour: Mapped[datetime] = mapped_column(index=True)
