"""`make bench`, or `python -m tests.bench [--quick] [NAME ...]`: measure, print a table, write `instance/bench.json`.

A name is that of a part: see NAMES. `--quick` takes fewer rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    cap_check,
    decision_to_call,
    decisions,
    figures,
    gateway_call,
    held_calls,
    live,
    memory,
    queue_page,
    shared_lease,
    tokens,
)
from tests.bench.figures import Figure
from tests.bench.http_client import Line, request
from tests.bench.scene import HOST, Scene, scene
from tests.scripted_provider import Scripted

OUT = Path(os.environ.get("INSTANCE", "instance")) / "bench.json"
NAMES = ("memory", "gateway", "decision", "decisions", "shared", "caps", "tokens", "queue", "live")
OWNERS = ("ada", "cleo")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    size, found = (1 if given.quick else 5), []
    say(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}")
    with scene() as (made, bank):
        for name, work in steps(made, bank, size, quick=given.quick):
            if name in (given.names or NAMES):
                say(f"{name} …")
                found += work()
    say(figures.table(found))
    figures.write(found, OUT)
    say(f"written to {OUT}")


def steps(made: Scene, bank: Scripted, size: int, *, quick: bool) -> list[tuple[str, Callable[[], list[Figure]]]]:
    """In this order: memory before there is load, the many actions and the many people last."""
    agents = {name: made.agent(name, bank) for name in OWNERS}
    made.browser("bob", ["user", "finance"])
    made.start_web()
    _wake(made)
    ada = agents["ada"]

    return [
        ("memory", lambda: [memory.figure(made)]), ("gateway", lambda: gateway_call.figures(made, ada, size)),
        ("decision", lambda: decision_to_call.figures(made, list(agents.values()))),
        ("decisions", lambda: decisions.figures(made, bank, quick=quick)),
        ("caps", lambda: [cap_check.figure(made, ada, held_calls.place(made), size)]),
        ("shared", lambda: [shared_lease.figure(made, ada, size)]),
        ("tokens", lambda: tokens.figures(made, ada, bank, size)), ("queue", lambda: queue_page.figures(made, size)),
        ("live", lambda: live.figures(made, ada, size)),
    ]


def _wake(made: Scene) -> None:
    """At rest is after the first page and the first call: what is loaded at first use is loaded."""
    line, agent = Line(made.address), made.browsers["ada"]
    line.ask(request("GET", "/actions", {"Host": HOST, "Accept": "text/html", "Cookie": made.cookie("ada")}))
    assert agent.person
    line.close()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
