"""A keeper that replaces its keys as often as somebody asks: `python -m tests.impatient --instance DIR`.

It is the real process; only the time that has to pass between two rotations is taken away, from here. When a new version is used,
and for how long older ones are good, stays as it is.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from vault import keeper as real

LEAD = timedelta(minutes=5)
"""Of an authority for client certificates: hours at least, elsewhere."""


class Impatient(real.Process):
    def load(self) -> Any:
        """In the worker, after gevent has patched, as the real one."""
        from vault import issuers, rotating, spool_keys

        rotating.SELDOM = issuers.SELDOM = spool_keys.SELDOM = timedelta(0)
        issuers.lead = lambda _keeper: LEAD
        for roots in rotating.ROOTS:
            object.__setattr__(roots, "seldom", timedelta(0))
        return super().load()


if __name__ == "__main__":
    real.Process = Impatient  # type: ignore[misc]
    real.main(sys.argv[1:])
