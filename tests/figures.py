"""What tests count, printed at the end of every run: how often something was tried, and how often it was lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

KEY = "figures"


@dataclass
class Figures:
    """One test's own; the same name in several tests is added up."""

    counted: dict[str, int] = field(default_factory=dict)
    """A plain one: pytest-xdist sends nothing else from one process to the other."""

    def add(self, what: str, count: int) -> None:
        self.counted[what] = self.counted.get(what, 0) + count


@pytest.fixture
def figures(record_property: Any) -> Figures:
    made = Figures()
    record_property(KEY, made.counted)
    return made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Reports carry properties from the processes of pytest-xdist to the one that prints."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, counted in report.user_properties:
                    total.update(counted if name == KEY else {})
    if total:
        terminalreporter.section("counted")
        for name, count in sorted(total.items()):
            terminalreporter.write_line(f"{count:>7}  {name}")
