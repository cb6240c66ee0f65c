"""Insert a row that somebody else may insert at the same moment."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.db.base import Base


def insert_once(session: Session, table: type[Base], **values: Any) -> bool:
    """Whether this call inserted the row: False where one with the same key was there first. The second waits for the first to
    commit, so that a row is never thought missing."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    result = session.execute(insert(table).values(**values).on_conflict_do_nothing())
    return cast("CursorResult[Any]", result).rowcount == 1
