"""The clock that tests move: it stands still, and where a browser is served it goes on as if it always had."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests import clock as clocks
from tests.clock import Clock


def test_it_stands_still_until_it_runs_and_keeps_what_it_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [100.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: passed[0])
    clock = Clock()
    began = clock()
    passed[0] += 40
    assert clock() == began
    clock.forward(hours=1)
    clock.run()
    assert clock() == began + timedelta(hours=1, seconds=40)
    passed[0] += 2
    clock.now = began
    passed[0] += 3
    assert clock.now == began + timedelta(seconds=3)
