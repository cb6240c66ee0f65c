"""The database's half of the evaluation mark (the vault has the other), and the sign-in links that were spent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

ONLY = 1


class Mark(Base):
    """One row, written when an evaluation instance is made and never removed. No row: a real instance."""

    __tablename__ = "evaluation_mark"
    __table_args__ = (CheckConstraint("id = 1", name="only"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    made_at: Mapped[datetime]


class SpentLink(Base):
    """A sign-in link is spent by this insert; the row outlives the link."""

    __tablename__ = "evaluation_spent_links"

    id: Mapped[str] = mapped_column(primary_key=True)
    spent_at: Mapped[datetime]
    expires_at: Mapped[datetime]
