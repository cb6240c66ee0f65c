"""Insert a row that somebody else may insert at the same moment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp.db.base import Base


def insert_once(session: Session, table: type[Base], **values: Any) -> bool:
    """Whether this call inserted the row: False where one with the same key was there first. The second waits for the first to
    commit, so that a row is never thought missing. Asked by RETURNING: after an INSERT, psycopg's row count is not kept."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    key = inspect(table).primary_key
    return session.execute(insert(table).values(**values).on_conflict_do_nothing().returning(*key)).first() is not None
