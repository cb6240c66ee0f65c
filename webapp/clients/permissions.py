"""What token clients may ask for: what an admin said at their registration, and nothing beyond it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.clients.tables import Permission


def of(session: Session, client_id: str) -> dict[str, Permission]:
    """By provider. A provider that is not in it may not be asked for; an empty list in it names nothing."""
    return {row.provider: row for row in session.scalars(select(Permission).where(Permission.client == client_id))}
