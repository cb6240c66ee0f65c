"""SQLite's one writer: a native thread that runs transactions one after another, and small ones that wait in one commit. Another
such thread reads what takes long.

Under gevent or not, whoever waits for it waits without blocking anybody else.
"""

from __future__ import annotations

import threading
from _queue import Empty, SimpleQueue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

MOST = 64
"""Works in one commit: so that none waits long for the others."""


class Work:
    """What one caller wants done, and where its outcome goes. `alone`: it needs a transaction of its own."""

    __slots__ = ("_told", "alone", "error", "result", "run")

    def __init__(self, run: Callable[[Any], Any], *, alone: bool, told: Any) -> None:
        self.run, self.alone = run, alone
        self.result: Any = None
        self.error: BaseException | None = None
        self._told = told

    def done(self) -> None:
        self._told.done(self)


class Writer:
    """`batch` runs works in one transaction and commits it, or raises for all of them; it notes result or error in each."""

    def __init__(self, batch: Callable[[Sequence[Work]], None], end: Callable[[], None]) -> None:
        self._batch, self._end = batch, end
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._next: Work | None = None
        self._hubs: dict[Any, _Hub] = {}
        self._ended: Future[None] = Future()
        _native(self._loop)

    def run(self, run: Callable[[Any], Any], *, alone: bool) -> Any:
        """Hand it over, wait, and return or raise what it did."""
        told: Any = self._hub().waiter() if _patched() else _Promise()
        work = Work(run, alone=alone, told=told)
        self._queue.put(work)
        told.wait()
        if work.error is not None:
            raise work.error
        return work.result

    def close(self) -> None:
        self._queue.put(None)
        if not _patched():
            self._ended.result(5)

    def _hub(self) -> _Hub:
        from gevent import get_hub

        hub = get_hub()
        return self._hubs.get(hub) or self._hubs.setdefault(hub, _Hub(hub))

    def _loop(self) -> None:
        while (first := self._next or self._queue.get()) is not None:
            self._next = None
            works = [first] if first.alone else self._gather(first)
            try:
                self._batch(works)
            except BaseException as error:  # noqa: BLE001 whoever asked for it is told; the thread goes on for the others
                for work in works:
                    work.error = error
            for work in works:
                work.done()
            del first, works
        self._end()
        self._ended.set_result(None)

    def _gather(self, first: Work) -> list[Work]:
        """What waits already. Nobody is waited for."""
        works = [first]
        while len(works) < MOST:
            try:
                found = self._queue.get_nowait()
            except Empty:
                break
            if found is None:
                self._queue.put(None)
                break
            if found.alone:
                self._next = found
                break
            works.append(found)
        return works


class _Promise:
    def __init__(self) -> None:
        self._future: Future[None] = Future()

    def wait(self) -> None:
        self._future.result()

    def done(self, _work: Work) -> None:
        self._future.set_result(None)


class _Hub:
    """One event loop's ear: the thread rings, and the loop wakes whoever's work is done."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.ready: deque[Any] = deque()
        self.bell = hub.loop.async_()
        self.bell.start(self._wake)

    def waiter(self) -> _Waiting:
        return _Waiting(self)

    def _wake(self) -> None:
        while self.ready:
            self.ready.popleft().switch(None)


class _Waiting:
    """A greenlet that waits. One that was killed meanwhile is left alone."""

    __slots__ = ("_hub", "_waiter")

    def __init__(self, hub: _Hub) -> None:
        from gevent.hub import Waiter

        self._hub = hub
        self._waiter = Waiter(hub.hub)

    def wait(self) -> None:
        self._waiter.get()

    def done(self, _work: Work) -> None:
        self._hub.ready.append(self._waiter)
        self._hub.bell.send()


def _native(target: Callable[[], None]) -> None:
    if _patched():
        from gevent.monkey import get_original

        get_original("_thread", "start_new_thread")(target, ())
    else:
        threading.Thread(target=target, name="writes", daemon=True).start()


def _patched() -> bool:
    try:
        from gevent.monkey import is_module_patched
    except ImportError:
        return False
    return bool(is_module_patched("threading"))
