"""A keeper that dies where a test says, under a clock that it moves: `python -m tests.doomed --instance DIR --evaluation`.

It is the real process, with the places between its steps made mortal from here. Nothing in `vault/` knows of this, so no keeper
that anybody runs can be made to die, or to think it later than it is. What it is told lies in the folder that its spool is on:
`ahead` (seconds), `doom` (the point, and how many renewals have to stand there before it dies of SIGKILL), and `down` (who died
does not come back while it is there).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from vault import keeper as real

POINTS = ("claimed", "answered", "spooled", "written")
"""Between the steps of `vault.renewal`: after the claim was written; after the provider answered; after that was spooled; after
it was written into the vault."""


class Doom:
    """`at` returns, unless this point is the one: then nobody passes it, and the last one expected takes the process along."""

    def __init__(self, told: Path) -> None:
        self._told = told
        self._standing: set[str] = set()
        self._lock = threading.Lock()

    def at(self, point: str, connection: str) -> None:
        try:
            doom = json.loads(self._told.read_text())
        except FileNotFoundError:
            return
        if doom["point"] != point:
            return
        with self._lock:
            self._standing.add(connection)
            last = len(self._standing) == doom["count"]
        if last and self._first():
            os.kill(os.getpid(), signal.SIGKILL)
        if last:
            return  # another keeper was faster, and has died of it
        threading.Event().wait()

    def _first(self) -> bool:
        try:
            self._told.unlink()
        except FileNotFoundError:
            return False
        return True


def made_mortal(keeper: Any, folder: Path) -> Any:
    from datetime import timedelta

    from vault.kv import Kv
    from vault.record import Answered
    from vault.spool import Spool
    from vault.table import utc_now
    from vault.upstreams import upstreams

    doom, ahead = Doom((folder / "doom").resolve()), folder / "ahead"

    class Mortal(Kv):
        def write(self, path: str, data: Any, cas: int) -> int:
            version = super().write(path, data, cas)
            if path.startswith("connections/") and data["claim"]:
                doom.at("claimed", path)
            return version

    class Volume(Spool):
        def put(self, answer: Answered) -> Path:
            doom.at("answered", answer.connection)
            path = super().put(answer)
            doom.at("spooled", answer.connection)
            return path

        def remove(self, answer: Answered) -> None:
            doom.at("written", answer.connection)
            super().remove(answer)

    keeper.kv.__class__ = Mortal
    keeper.clock = lambda: utc_now() + timedelta(seconds=float(ahead.read_text()))
    upstreams(keeper).spool = Volume(upstreams(keeper).spool.folder)
    return keeper


class Doomed(real.Process):
    def load(self) -> Any:
        """In the worker, after gevent has patched, as the real one. On a vault of an operator's own it takes itself for one of an
        evaluation instance all the same, for the sake of a provider without TLS."""
        from dataclasses import replace

        from vault import table

        make, folder = table.make, (self.instance / "keeper").resolve()
        table.make = lambda settings, *more: made_mortal(make(replace(settings, evaluation=True), *more), folder)
        while (folder / "down").exists():
            time.sleep(0.05)
        return super().load()


if __name__ == "__main__":
    real.Process = Doomed  # type: ignore[misc]
    real.main(sys.argv[1:])
