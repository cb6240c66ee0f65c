"""Codes and tokens that are over are deleted, and clients that nobody ever allowed anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from webapp.clients import registration
from webapp.clients.tables import SELF, Client
from webapp.config import OAuth
from webapp.db.due import Due, enqueue
from webapp.oauth.tables import AccessToken, AuthorizationCode, Grant, RefreshToken
from webapp.web.house import House

KIND = "oauth.clean"
EVERY = timedelta(hours=1)
REMEMBERED = timedelta(days=1)
"""How long a code or token is kept after it ended, so that a second use is still recognised."""


def plan_cleaning(session: Session, now: datetime) -> None:
    """Whoever registers brings the cleaner: without clients there is nothing to clean."""
    enqueue(session, KIND, "all", now + EVERY)


def clean(session: Session, limits: OAuth, now: datetime) -> None:
    for table in (AuthorizationCode, AccessToken, RefreshToken):
        session.execute(delete(table).where(table.expires_at < now - REMEMBERED))
    registration.clean(session, now)
    session.execute(
        delete(Client).where(
            Client.registered_by == SELF, Client.status == "active", Client.verified.is_(False),
            Client.created_at < now - timedelta(seconds=limits.unused_client),
            ~exists(select(Grant.id).where(Grant.client == Client.id)),
        ).execution_options(synchronize_session=False)
    )


def _clean(house: House, row: Due) -> datetime:
    now = house.clock()
    house.database.write(lambda s: clean(s, house.settings.oauth, now))
    return now + EVERY


jobs: dict[str, Callable[[House, Due], datetime | None]] = {KIND: _clean}
