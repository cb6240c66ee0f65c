"""A keeper that looks after its own secrets all the time: `python -m tests.watchful --instance DIR`.

It is the real process; only the pause between two looks is taken away, from here. What a look finds old, and what it does then,
stays as it is.
"""

from __future__ import annotations

import sys
from typing import Any

from vault import keeper as real


class Watchful(real.Process):
    def load(self) -> Any:
        """In the worker, after gevent has patched, as the real one."""
        from vault import upkeep

        upkeep.LOOK = 0.5
        return super().load()


if __name__ == "__main__":
    real.Process = Watchful  # type: ignore[misc]
    real.main(sys.argv[1:])
