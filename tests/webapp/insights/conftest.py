"""Figures, kept calls, regrets and trials."""

from __future__ import annotations

import pytest

from webapp.insights import shelf


@pytest.fixture(autouse=True)
def counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page shows what was put a moment ago."""
    monkeypatch.setattr(shelf, "KEPT", 0.0)
