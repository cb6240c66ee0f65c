"""The gunicorn worker of the keeper and of the web process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, with connections that nothing is asked on ended as soon as it is told to stop: gunicorn's own
    waits the whole `graceful_timeout` for each browser, agent and pool that keeps one open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[Any] = set()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a connection's next request."""
        connection = gevent.getcurrent()
        self._idle.add(connection)
        try:
            with gevent.Timeout(self.cfg.keepalive if self.alive else 0, False):
                yield
        finally:
            self._idle.discard(connection)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        gevent.spawn(self._leave)  # a signal's handler may run in the middle of anything

    def _leave(self) -> None:
        self.cfg.worker_int(self)
        gevent.killall(list(self._idle), StopIteration, block=False)  # which gunicorn reads as the end of a connection
