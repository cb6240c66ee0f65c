"""Calls as policy was asked about them. Nothing that is decided reads this table."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base, BigId


class Judged(Base):
    """One call, and the verdict of then. No argument is in it: amounts are there as policy read them (as in `Usage`), of a
    recipient only what rules can ask about them, and not who they are.

    Rows are found by their number alone, which grows with time: each further index would be a page more in every call's commit.
    """

    __tablename__ = "judged"
    __table_args__ = (CheckConstraint("verdict IN ('allow', 'deny', 'hold')", name="verdict"),)
    shown = ("id", "verdict", "server", "tool")

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    id: Mapped[str]
    """Of the call, the action or the lease: as in the log."""
    at: Mapped[datetime]
    person: Mapped[str]
    client: Mapped[str]
    server: Mapped[str]
    tool: Mapped[str]
    cls: Mapped[str]
    connection: Mapped[str]
    """Empty where no account is used."""
    verdict: Mapped[str]
    rules: Mapped[str]
    """Ids of the rules that held or denied it, with a blank between."""
    policy: Mapped[str]
    """Digest of the set that judged it."""
    asked: Mapped[str]
    """The rest of what was asked, as `keeping` writes it: JSON."""
