"""What used a connection, for its page. Leases are the broker's, a floor above: `create_app` hands its reader down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flask import current_app
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Use:
    """One lease, as a person reads it. `id` tells one from another; it opens nothing."""

    id: str
    connection: str
    client: str
    server: str
    tool: str
    at: datetime
    outcome: str
    action: str | None
    exclusive: bool


@dataclass(frozen=True)
class Summary:
    """Which agents used a connection lately (the latest first), how often it was used lately, and its last use, however long ago.
    `more`: it was used oftener than `count`; nobody counts further."""

    agents: tuple[str, ...]
    count: int
    last: Use | None
    more: bool = False


@dataclass(frozen=True)
class After:
    """Where a list of uses goes on: after this one."""

    at: datetime
    id: str


class Reader(Protocol):
    """What the broker offers."""

    def summaries(self, session: Session, connections: Sequence[str], since: datetime) -> Mapping[str, Summary]:
        """By connection; every one asked for has one. What was used before `since` is not counted."""

    def latest(self, session: Session, connections: Sequence[str], limit: int, after: After | None = None) -> Sequence[Use]:
        """Newest first."""


def reader() -> Reader:
    found: Reader = current_app.extensions["connection_uses"]
    return found
