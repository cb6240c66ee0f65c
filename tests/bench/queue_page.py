"""The approvers' queue, 50 of 100,000 actions, beside the barest app that reads and shows the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from tests import keeper_parts
from tests.bench.figures import Figure, interleaved
from tests.bench.http_client import Line, request
from tests.bench.scene import HOST, Scene, free_port
from webapp.approvals.tables import Action, ActionGroup
from webapp.ids import new_id

ALL, WAITING, BATCH = 100_000, 2_000, 5_000
NAMES = ("Nordlicht Energie GmbH", "Atelier Lumière", "Kaufhaus Köln KG", "Müller & Söhne", "Bäckerei Sonnenschein")


def fill(made: Scene) -> None:
    """100,000 actions of a few people: most are done, 2,000 wait for finance."""
    now = made.house.clock()
    for start in range(0, ALL, BATCH):
        actions = [_action(number, now) for number in range(start, start + BATCH)]
        groups = [{"action": one["id"], "name": "finance"} for one in actions]
        made.house.database.write(lambda s, rows=actions: s.execute(insert(Action), rows))  # type: ignore[misc]
        made.house.database.write(lambda s, rows=groups: s.execute(insert(ActionGroup), rows))  # type: ignore[misc]


def _action(number: int, now: datetime) -> dict[str, Any]:
    held = number % (ALL // WAITING) == 0
    at = now - timedelta(seconds=ALL - number)
    return {
        "id": new_id("act"), "state": "held" if held else "done", "digest": f"{number:064x}", "arguments": f"{number:064x}",
        "person": f"per_{number % 7}", "owner": f"per_{number % 7}", "agent_owner": f"per_{number % 7}", "client": "cli_1",
        "client_name": "Ledger Desk", "grant_id": "gra_1", "server": "bank", "server_title": "Harbour Bank",
        "tool": "send_payment", "tool_title": "Send a payment", "cls": "money", "connection": None,
        "amount_minor": 100_000 + number, "currency": "EUR", "recipient": "DE89 3704 0044 0532 0130 00",
        "named": NAMES[number % len(NAMES)], "flags": ["new"] if number % 3 else [], "rank": number % 5, "asks_owner": False,
        "requirement": [{"kind": "approvers", "group": "finance", "quorum": 1, "factor": "passkey", "rule": "large-payment"}],
        "policy": "p" * 64, "runs": "return", "previous": None, "created_at": at, "changed_at": at,
        "expires_at": now + timedelta(hours=3, seconds=number % 3600), "ended_at": None if held else at, "reason": "",
    }


def figure(made: Scene, size: int) -> Figure:
    """`bob` of finance looks."""
    made.browser("bob", ["user", "finance"])
    page = request("GET", "/actions", {"Host": HOST, "Accept": "text/html", "Cookie": made.cookie("bob")})
    with _bare(made) as port:
        bare_page = request("GET", "/", {"Host": "localhost"})
        app, bare = Line(made.address), Line(("127.0.0.1", port))
        _alike(app.ask(page), bare.ask(bare_page))
        rounds, each = 8 * size, 10
        value, floor = interleaved(lambda: app.ask(page), lambda: bare.ask(bare_page), rounds=rounds, each=each)
        app.close()
        bare.close()
    return Figure("queue-page", "ms", value, floor, rounds * each, goal=2.0)


def _alike(*answers: tuple[int, bytes]) -> None:
    for status, body in answers:
        if status != 200 or body.count(b'class="go"') != 50 or body.count(b"Harbour Bank") < 50:
            raise RuntimeError(f"not the page: {status} {body[:500]!r}")


@contextmanager
def _bare(made: Scene) -> Iterator[int]:
    port = free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "1", "--bind", f"127.0.0.1:{port}",
         "--keep-alive", "75", "--no-control-socket", "--log-level", "warning", "tests.bench.bare_queue:make()"],
        env={**os.environ, "COUNTERSEAL_DATABASE_URL": made.house.database.url}, cwd=keeper_parts.ROOT,
    )
    try:
        keeper_parts.until(lambda: _answers(port), "the bare app answers")
        yield port
    finally:
        started.terminate()
        started.wait(20)


def _answers(port: int) -> bool:
    try:
        Line(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
