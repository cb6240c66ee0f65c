"""A bare app of this folder under the same gunicorn as the web process: what a figure's floor is taken from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests import keeper_parts
from tests.bench.http_client import Line
from tests.bench.scene import Scene, free_port


@contextmanager
def serve(made: Scene, module: str) -> Iterator[tuple[int, int]]:
    """Port, and id of gunicorn's own process. The app is what the module's `make()` gives, over the scene's database."""
    port = free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "1", "--bind", f"127.0.0.1:{port}",
         "--keep-alive", "75", "--no-control-socket", "--log-level", "warning", f"tests.bench.{module}:make()"],
        env={**os.environ, "COUNTERSEAL_DATABASE_URL": made.house.database.url}, cwd=keeper_parts.ROOT,
    )
    try:
        keeper_parts.until(lambda: _answers(port), "the bare app answers")
        yield port, started.pid
    finally:
        started.terminate()
        started.wait(60)  # gunicorn lets open streams be for its graceful timeout


def _answers(port: int) -> bool:
    try:
        Line(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
