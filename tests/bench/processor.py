"""Processor time of a call in each process, in milliseconds: `python -m tests.bench.processor [CALLS]`.

On a machine that does other work too, this says more than the clock on the wall. Linux alone (`/proc`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.__main__ import _wake, say
from tests.bench.gateway_call import ARGUMENTS, AT_ONCE
from tests.bench.http_client import Line, per_second
from tests.bench.scene import scene

PARTS = {"webapp.wsgi": "web", "vault.keeper": "keeper", "bao server": "vault", "tests.bench.upstream": "server"}
NANOSECONDS = 1_000_000


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with scene() as (made, bank):
        ada = made.agent("ada", bank)
        made.start_web()
        _wake(made)
        sent = ada.call("get_balance", ARGUMENTS)

        def one_by_one() -> float:
            line = Line(made.address)
            for _ in range(calls):
                if line.ask(sent)[0] != 200:
                    raise RuntimeError("a call was refused")
            line.close()
            return calls

        def together() -> float:
            _, counted = per_second(made.address, sent, connections=AT_ONCE, seconds=6.0, lead=2.0)
            return counted * 8 / 6

        one_by_one()
        for name, work in (("one at a time", one_by_one), (f"{AT_ONCE} at once", together)):
            say(f"{name}: " + ", ".join(f"{part} {each:.2f}" for part, each in _each(work).items()))


def _each(work: Callable[[], float]) -> dict[str, float]:
    found = _processes()
    before = {pid: _spent(pid) for pid in found}
    done = work()
    spent: dict[str, float] = {}
    for pid, part in found.items():
        spent[part] = spent.get(part, 0.0) + (_spent(pid) - before[pid]) / done
    return spent


def _processes() -> dict[int, str]:
    """Ours, by what their command line names; gunicorn's own processes and their workers together."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                commands[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
    own = {pid for pid in commands if _below(pid, parents)}
    return {pid: part for pid in own for word, part in PARTS.items() if word in commands[pid]}


def _below(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid > 1:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def _spent(pid: int) -> float:
    """Milliseconds on a processor so far, of all threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / NANOSECONDS


if __name__ == "__main__":
    main()
