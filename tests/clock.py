"""A clock that tests move by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """It stands still until a test moves it; once it runs it goes on by itself, too."""

    def __init__(self) -> None:
        self._at, self._made, self._runs = datetime.now(UTC), time.monotonic(), False

    def __call__(self) -> datetime:
        return self.now

    @property
    def now(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._made if self._runs else 0)

    @now.setter
    def now(self, at: datetime) -> None:
        self._at += at - self.now

    def forward(self, **by: float) -> None:
        self._at += timedelta(**by)

    def run(self) -> None:
        """From here on, and as if it had from the beginning: who signs in half a minute after the test began would come from the
        future of one that stands still, for the keeper's clock is the true one."""
        self._runs = True
