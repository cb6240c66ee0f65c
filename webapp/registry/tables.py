"""Servers behind the gateway, and their tools as approved and as last listed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

CLASSES = ("read", "write", "send", "money", "destroy")
STATUSES = ("new", "approved", "drifted", "refused", "gone")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Server(Base):
    """`manifest` is the digest over URL and approved pins, brought up to date in the transaction that changes one."""

    __tablename__ = "server"
    __table_args__ = (CheckConstraint(_one_of("status", ("active", "paused")), name="status"),)
    shown = ("id", "name", "status")

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    url: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")
    suspended: Mapped[str] = mapped_column(default="")
    """The incident by which it is paused, or empty: until that is lifted there, nobody opens it."""
    provider: Mapped[str] = mapped_column(default="")
    """The OAuth provider whose accounts its tools use by default; empty for none."""
    manifest: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    looked_at: Mapped[datetime | None]
    look_error: Mapped[str] = mapped_column(default="")
    """Why the last look failed, in words; empty when it did not."""


class Tool(Base):
    """A tool of a server.

    `new`: listed, approved by nobody. `approved`: what is listed is what was approved. `drifted`: it is not any more, and
    both texts are kept. `refused`: an admin said no. `gone`: the server no longer lists it. Only `approved` can be called.
    """

    __tablename__ = "tool"
    __table_args__ = (
        UniqueConstraint("server_id", "name"),
        CheckConstraint(_one_of("status", STATUSES), name="status"),
        CheckConstraint(_one_of("cls", CLASSES), name="cls"),
        CheckConstraint("status <> 'approved' OR (approved = listed AND pin <> '')", name="approved_is_listed"),
    )
    shown = ("id", "server_id", "name", "status", "cls")

    id: Mapped[str] = mapped_column(primary_key=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"))
    name: Mapped[str]
    status: Mapped[str]
    listed: Mapped[str]
    """Canonical JSON of the tool as last listed."""
    approved: Mapped[str] = mapped_column(default="")
    """Canonical JSON of the tool as approved; empty before the first approval."""
    cls: Mapped[str] = mapped_column(default="destroy")
    """What nobody classified is `destroy`."""
    pointers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    changes_recipients: Mapped[bool] = mapped_column(default=False)
    outside: Mapped[bool] = mapped_column(default=False)
    """It brings in what strangers can write: mail, web pages, tickets. A call of it taints the agent's session."""
    credential: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    pin: Mapped[str] = mapped_column(default="")
    openly: Mapped[bool] = mapped_column(default=False)
    """It was listed to a caller without a token: only then does its absence from such a listing say that it is gone."""
    first_seen_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(default="")
