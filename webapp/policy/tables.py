"""Which policy set decides."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

ONLY = 1


class ActivePolicy(Base):
    """One row. A process whose own set has another digest decides nothing."""

    __tablename__ = "active_policy"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    shown = ("id", "digest")

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str]
    activated_at: Mapped[datetime]
    activated_by: Mapped[str]
