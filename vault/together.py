"""Questions that many ask at the same moment, sent as one: what they cost is mostly the way there and back.

Whoever comes while little is on its way is sent at once and alone; whoever comes while others are waits for them, and then
leaves with all who wait. A question is never answered from a request that was sent before it was asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vault.errors import KeeperAway

AT_ONCE = 2
"""Requests on their way."""
MOST = 32
"""Questions in one."""

Question = Mapping[str, Any]
Answer = Mapping[str, Any]


class _Asked:
    """One question. `flight`: those that it is to leave with, as their leader."""

    __slots__ = ("answer", "error", "flight", "question", "woken")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.flight: list[_Asked] = []
        self.woken = threading.Event()

    def outcome(self) -> Answer:
        if self.error is not None:
            raise self.error
        if self.answer is None:
            raise KeeperAway("a question was left without an answer")
        return self.answer


class Together:
    """`send` answers each question in its place, or raises for all of them."""

    def __init__(self, send: Callable[[Sequence[Question]], Sequence[Answer]]) -> None:
        self._send = send
        self._waiting: list[_Asked] = []
        self._flying = 0
        self._lock = threading.Lock()

    def ask(self, question: Question) -> Answer:
        """Raises what `send` raises."""
        mine = _Asked(question)
        with self._lock:
            if self._flying < AT_ONCE:
                self._flying += 1
                mine.flight = [mine]
            else:
                self._waiting.append(mine)
        if not mine.flight:
            self._wait(mine)
        if mine.flight:
            self._fly(mine.flight)
        return mine.outcome()

    def _wait(self, mine: _Asked) -> None:
        try:
            mine.woken.wait()
        except BaseException:
            # A killed greenlet: nobody else may wait for it.
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            if mine.flight:
                self._fly(mine.flight)
            raise

    def _fly(self, flight: list[_Asked]) -> None:
        try:
            answers = self._send([one.question for one in flight])
            for one, answer in zip(flight, answers, strict=True):
                one.answer = answer
        except BaseException as error:  # it is raised again where each of them asked
            for one in flight:
                one.error = error if isinstance(error, Exception) else KeeperAway("whoever asked for it was stopped")
            if not isinstance(error, Exception):
                raise
        finally:
            self._land(flight)

    def _land(self, flight: list[_Asked]) -> None:
        with self._lock:
            following, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            if following:
                following[0].flight = following
            else:
                self._flying -= 1
        for one in [*flight, *following[:1]]:
            one.woken.set()
