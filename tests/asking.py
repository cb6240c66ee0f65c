"""Threads that ask all the while that something is replaced: what they asked is counted, and what any of them raised is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.figures import Figures

PATIENCE = 120.0


@dataclass
class Asking:
    """`work`: what each thread does over and over, by name. A failure ends nobody: the next request is asked all the same."""

    work: dict[str, Callable[[], object]]
    done: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    pause: float = 0.01
    """Seconds between two requests of one thread."""
    _stop: bool = False
    _moved: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.done = dict.fromkeys(self.work, 0)
        threads = [threading.Thread(target=self._run, args=item, name=item[0], daemon=True) for item in self.work.items()]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            with self._moved:
                self._stop = True
                self._moved.notify_all()
            for one in threads:
                one.join(PATIENCE)

    def _run(self, name: str, ask: Callable[[], object]) -> None:
        while True:
            failed = ""
            try:
                ask()
            except Exception as error:  # each failure counts, whatever it is
                failed = f"{name}: {error!r} {getattr(error, 'detail', '')}"
            with self._moved:
                self.done[name] += 1
                self.failures += [failed] if failed else []
                self._moved.notify_all()
                if self._moved.wait_for(lambda: self._stop, self.pause):
                    return

    def more(self, times: int = 2) -> None:
        """Wait until each has asked so often from now on, of which the first may have begun before."""
        with self._moved:
            goal = {name: count + times for name, count in self.done.items()}
            moved = self._moved.wait_for(lambda: all(self.done[name] >= goal[name] for name in goal), PATIENCE)
            assert moved, f"asked {self.done}, wanted {goal}; {len(self.failures)} failed: {self.failures[:5]}"

    def none_failed(self, figures: Figures, what: str) -> None:
        figures.add(f"requests while {what}", sum(self.done.values()))
        figures.add(f"requests that failed while {what}", len(self.failures))
        assert self.failures == [], f"{len(self.failures)} of {sum(self.done.values())} requests failed: {self.failures[:5]}"
