"""Identifiers sort in the order in which they were made: the log's entries are placed by theirs."""

from __future__ import annotations

import threading

from webapp.ids import new_id


def test_ids_made_one_after_the_other_sort_in_that_order_within_a_millisecond_too() -> None:
    made = [new_id("ent") for _ in range(5000)]
    assert made == sorted(made)


def test_ids_of_threads_at_once_are_all_different() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend([new_id("ent") for _ in range(2000)])) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(made)) == 16_000
