"""The log's tables: entries, the tree's nodes, checkpoints."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base


class Entry(Base):
    """One record. `body` is its RFC 8785 JSON and is what the tree covers; the other columns are for finding it.
    `place` is its index in the tree, None until it is sequenced."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_kind", "kind", "at"),
        Index("ix_audit_entries_about", "about", "id", postgresql_where=text("about IS NOT NULL"),
              sqlite_where=text("about IS NOT NULL")),
    )
    shown = ("id", "kind", "subject", "place")

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    actor: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    body: Mapped[bytes]
    place: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    about: Mapped[str | None]
    """Whose security log it belongs to (`audit.whose`): most belong to nobody's, and cost that index nothing."""


class Node(Base):
    """A complete node of the tree."""

    __tablename__ = "audit_nodes"
    shown = ("level", "index")

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class Tree(Base):
    """One row: how many entries are in the tree. Who sequences locks it."""

    __tablename__ = "audit_tree"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger, default=0)


class Checkpoint(Base):
    """A signed tree head: a C2SP checkpoint note."""

    __tablename__ = "audit_checkpoints"
    shown = ("size",)

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[bytes]
    note: Mapped[str]
    at: Mapped[datetime]
