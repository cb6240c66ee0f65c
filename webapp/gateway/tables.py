"""Sessions of legacy clients. A session authenticates nobody: each request brings its token, and the session must be of
the token's grant."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base


class Asker(NamedTuple):
    """Whose agent, and which: one model, whatever it reads and writes. Not the grant, which is for one server: what an agent read
    at one steers what it does at another."""

    person: str
    client: str


class McpSession(Base):
    """What an `initialize` settled (MCP 2025-03-26 to 2025-11-25). `id` is the `Mcp-Session-Id`."""

    __tablename__ = "mcp_session"
    __table_args__ = (Index("ix_mcp_session_grant", "grant_id", "created_at"),)
    shown = ("id", "server", "version")

    id: Mapped[str] = mapped_column(primary_key=True)
    grant_id: Mapped[str]
    server: Mapped[str]
    version: Mapped[str]
    url_elicitation: Mapped[bool]
    client_info: Mapped[dict[str, Any]]
    """Name and version as the client gave them, shortened: for display."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)


class HeardResult(Base):
    """What one answered call of an agent said, as keyed digests of its values (`gateway.origins`): nothing of it can be read."""

    __tablename__ = "heard_result"
    __table_args__ = (Index("ix_heard_result_asker", "person", "client", "id"),)
    shown = ("id", "person", "client", "server", "tool")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    client: Mapped[str]
    server: Mapped[str]
    tool: Mapped[str]
    outside: Mapped[bool]
    """By a tool that brings in what strangers can write."""
    at: Mapped[datetime] = mapped_column(index=True)
    digests: Mapped[bytes]


class Tainted(Base):
    """An agent that called a tool that brings in what strangers can write: it stays so when its grant ends and another
    begins. A row only tightens."""

    __tablename__ = "tainted_agent"
    shown = ("person", "client", "until")

    person: Mapped[str] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(primary_key=True)
    server: Mapped[str]
    tool: Mapped[str]
    until: Mapped[datetime]
