"""What goes through the door about people who lost their devices, and about sessions that end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class RecoveryLeft:
    """How many recovery codes are not spent, and when they were made; None for somebody who made none."""

    left: int
    made_at: datetime | None


@dataclass(frozen=True)
class Recovered:
    """A recovery code was spent. `ticket` replaces the session's; `left` are left."""

    ticket: str
    left: int


@dataclass(frozen=True)
class Readmission:
    """Somebody may set up a new second step in place of what they had: `started` by one administrator, or `agreed` on by two and
    waiting for the person to sign in. Not there once it is over."""

    id: str
    person: str
    state: Literal["started", "agreed"]
    reason: str
    started_by: str
    confirmed_by: str
    """Person ids, or `operator`."""
    until: datetime


@dataclass(frozen=True)
class LoggedOut:
    """A verified logout token: `person` signed out at the identity provider, of its session `sid`, or of all where
    that is empty. `person` is empty where the token names a session alone. `jti` must not be taken twice until `until`."""

    issuer: str
    person: str
    sid: str
    jti: str
    until: datetime
