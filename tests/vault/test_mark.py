"""The very first requests of an instance may come all at once."""

from __future__ import annotations

import threading

from tests.keeper_parts import serve
from vault.mark import Mark, mark


def test_requests_that_come_first_and_together_all_find_one_mark() -> None:
    with serve(start=False) as parts:
        parts.start_vault()
        keepers = [parts.inside() for _ in range(8)]
        found: list[Mark] = []
        threads = [threading.Thread(target=lambda k=keeper: found.append(mark(k))) for keeper in keepers]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for keeper in keepers:
            keeper.vault.wire.close()
    assert len(found) == 8
    assert len(set(found)) == 1
