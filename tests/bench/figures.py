"""A figure, how it is taken, and how it is shown."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Act = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """`ratio` is how many times the floor it costs or, where `more` is better, which part of the floor it reaches."""

    name: str
    unit: str
    value: float
    floor: float | None
    n: int
    goal: float | None = None
    more: bool = False

    @property
    def ratio(self) -> float | None:
        return round(self.value / self.floor, 3) if self.floor else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none. A figure without a floor has a limit as its goal."""
        if self.goal is None:
            return None
        reached = self.ratio if self.ratio is not None else self.value
        return reached >= self.goal if self.more else reached <= self.goal

    def document(self) -> dict[str, object]:
        floor = None if self.floor is None else round(self.floor, 3)
        return {
            "name": self.name, "unit": self.unit, "value": round(self.value, 3), "floor": floor, "ratio": self.ratio, "n": self.n,
        }


def timed(act: Act) -> float:
    """Milliseconds that one run takes."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def interleaved(value: Act, floor: Act, *, rounds: int, each: int, warm: int = 50) -> tuple[float, float]:
    """Medians in milliseconds of the two, taken in turns: what else the machine does meets both alike."""
    for _ in range(warm):
        value()
        floor()
    gc.collect()
    values: list[float] = []
    floors: list[float] = []
    for _ in range(rounds):
        values += [timed(value) for _ in range(each)]
        floors += [timed(floor) for _ in range(each)]
    return median(values), median(floors)


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def table(figures: Sequence[Figure]) -> str:
    rows = [("", "value", "floor", "ratio", "goal", "n")]
    for one in figures:
        sign = ">=" if one.more else "<="
        goal = "" if one.goal is None else f"{sign} {one.goal:g} {'held' if one.met else 'MISSED'}"
        rows.append((
            one.name, f"{one.value:.2f} {one.unit}", "" if one.floor is None else f"{one.floor:.2f} {one.unit}",
            "" if one.ratio is None else f"{one.ratio:.2f}", goal, str(one.n),
        ))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def write(figures: Sequence[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([one.document() for one in figures], indent=2) + "\n")
