"""What the web process and the keeper occupy at rest: their proportional set size, which counts a shared page once."""

from __future__ import annotations

import psutil

from tests.bench.figures import Figure
from tests.bench.scene import Scene


def figure(made: Scene) -> Figure:
    """gunicorn's own process and its worker, of both. OpenBao and what an evaluation instance adds are not in it."""
    assert made.web is not None
    value = _mib(made.web.pid) + _mib(made.keeper.keeper_pid)
    return Figure("memory-at-rest", "MiB", value, None, 1, goal=250.0)


def _mib(pid: int) -> float:
    root = psutil.Process(pid)
    total: int = sum(one.memory_full_info().pss for one in [root, *root.children(recursive=True)])
    return total / 1024 / 1024
