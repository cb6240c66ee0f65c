"""What used a connection, for its page. Leases are the broker's, a floor above: `create_app` hands its reader down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Use:
    """One lease, as a person reads it."""

    client: str
    server: str
    tool: str
    at: datetime
    outcome: str
    action: str | None
    exclusive: bool


@dataclass(frozen=True)
class Summary:
    """Which agents used a connection, and its last use."""

    agents: tuple[str, ...]
    last: Use | None


class Reader:
    """What the broker offers; `summaries` by connection, `latest` newest first."""

    def __init__(
        self, summaries: Callable[[Session, Sequence[str]], Mapping[str, Summary]],
        latest: Callable[[Session, str, int], Sequence[Use]],
    ) -> None:
        self.summaries = summaries
        self.latest = latest


def reader() -> Reader:
    found: Reader = current_app.extensions["connection_uses"]
    return found
