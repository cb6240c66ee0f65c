"""Questions of the same moment travel together, and none is answered from what left before it was asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.keeper_parts import until
from vault.errors import KeeperAway
from vault.together import AT_ONCE, MOST, Together


class Asking:
    """Many who ask. What they send waits until it is let go; `left` is what left, in order."""

    def __init__(self) -> None:
        self.left: list[list[int]] = []
        self.found: dict[int, Any] = {}
        self.fails: set[int] = set()
        self.together = Together(self.send)
        self._go = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def send(self, asked: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        numbers = [one["n"] for one in asked]
        self.left.append(numbers)
        assert self._go.acquire(timeout=30)
        if self.fails & set(numbers):
            raise KeeperAway("away")
        return [{"n": number} for number in numbers]

    def ask(self, number: int, *, leaves: bool) -> None:
        """Whether it leaves at once, or waits for those before it: either way it has come when this returns."""
        before, waiting = len(self.left), len(self.together._waiting)
        self._threads.append(threading.Thread(target=self._one, args=(number,)))
        self._threads[-1].start()
        until(lambda: len(self.left) > before if leaves else len(self.together._waiting) > waiting, f"{number} has come")

    def _one(self, number: int) -> None:
        try:
            self.found[number] = self.together.ask({"n": number})["n"]
        except KeeperAway as error:
            self.found[number] = error

    def go(self, times: int = 1) -> None:
        self._go.release(times)

    def end(self) -> None:
        self.go(100)
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def asking() -> Asking:
    made = Asking()
    for number in range(AT_ONCE):
        made.ask(number, leaves=True)
    return made


def test_who_comes_while_others_are_on_their_way_leaves_after_them_and_together(asking: Asking) -> None:
    for number in range(10, 20):
        asking.ask(number, leaves=False)
    asking.go()
    until(lambda: len(asking.left) == AT_ONCE + 1, "the next left")
    assert asking.left == [*[[number] for number in range(AT_ONCE)], list(range(10, 20))]
    asking.end()
    assert asking.found == {number: number for number in (*range(AT_ONCE), *range(10, 20))}


def test_who_comes_when_all_is_done_leaves_at_once(asking: Asking) -> None:
    asking.end()
    asking.ask(50, leaves=True)
    asking.end()
    assert asking.left[-1] == [50]
    assert asking.found[50] == 50


def test_a_request_that_fails_fails_those_who_left_with_it_and_nobody_else(asking: Asking) -> None:
    asking.fails = {11}
    for number in (10, 11, 12):
        asking.ask(number, leaves=False)
    asking.go()
    until(lambda: len(asking.left) == AT_ONCE + 1, "the next left")
    asking.ask(13, leaves=False)
    asking.end()
    assert all(isinstance(asking.found[number], KeeperAway) for number in (10, 11, 12))
    assert asking.found[13] == 13


def test_a_request_has_a_bound(asking: Asking) -> None:
    for number in range(100, 100 + MOST + 3):
        asking.ask(number, leaves=False)
    asking.end()
    assert max(len(one) for one in asking.left) == MOST
    assert len(asking.found) == AT_ONCE + MOST + 3


def test_an_answer_short_of_one_answers_nobody() -> None:
    together = Together(lambda asked: [])
    with pytest.raises(ValueError, match="shorter"):
        together.ask({"n": 1})
    with pytest.raises(ValueError, match="shorter"):
        together.ask({"n": 1})
