"""Run by Alembic, with the connection and (to make a revision) the metadata given by `webapp.db.migrate`."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import DateTime

from webapp.db.base import UtcTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A revision is history: it names plain types, not ours, which may change."""
    if kind == "type" and isinstance(item, UtcTime | DateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    render_as_batch=True,
    render_item=render_item,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
