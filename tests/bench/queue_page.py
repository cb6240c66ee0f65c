"""The approvers' queue, 50 of 100,000 actions, beside the barest app that reads and shows the same, and beside itself with 50 in
all: server time, and bytes as they are sent and as a proxy would send them."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from tests.bench.bare import serve
from tests.bench.figures import Figure, interleaved
from tests.bench.http_client import Line, request
from tests.bench.scene import HOST, Scene
from webapp.approvals.tables import Action, ActionGroup
from webapp.ids import new_id

ALL, WAITING, BATCH, SHOWN = 100_000, 2_000, 5_000, 50
FIRST = range(0, SHOWN * (ALL // WAITING), ALL // WAITING)
NAMES = ("Nordlicht Energie GmbH", "Atelier Lumière", "Kaufhaus Köln KG", "Müller & Söhne", "Bäckerei Sonnenschein")


def fill(made: Scene) -> None:
    """The rest of 100,000 actions of a few people: most are done, 2,000 wait for finance."""
    now = made.house.clock()
    for start in range(0, ALL, BATCH):
        put(made, [_action(number, now) for number in range(start, start + BATCH) if number not in FIRST])


def put(made: Scene, actions: list[dict[str, Any]]) -> None:
    groups = [{"action": one["id"], "name": "finance"} for one in actions]
    made.house.database.write(lambda s: s.execute(insert(Action), actions))
    made.house.database.write(lambda s: s.execute(insert(ActionGroup), groups))


def few(made: Scene) -> None:
    """50, which all wait."""
    now = made.house.clock()
    put(made, [_action(number, now) for number in FIRST])


def _action(number: int, now: datetime) -> dict[str, Any]:
    held = number % (ALL // WAITING) == 0
    at = now - timedelta(seconds=ALL - number)
    return {
        "id": new_id("act"), "state": "held" if held else "done", "digest": f"{number:064x}", "arguments": f"{number:064x}",
        "person": f"per_{number % 7}", "owner": f"per_{number % 7}", "agent_owner": f"per_{number % 7}", "client": "cli_1",
        "client_name": "Ledger Desk", "grant_id": "gra_1", "server": "bank", "server_title": "Harbour Bank",
        "tool": "send_payment", "tool_title": "Send a payment", "cls": "money", "connection": None,
        "amount_minor": 100_000 + number, "currency": "EUR", "recipient": "DE89 3704 0044 0532 0130 00",
        "named": NAMES[number % len(NAMES)], "flags": ["new"] if number % 3 else [], "rank": number % 5 * 100,
        "asks_owner": False,
        "requirement": [{"kind": "approvers", "group": "finance", "quorum": 1, "factor": "passkey", "rule": "large-payment"}],
        "policy": "p" * 64, "runs": "return", "previous": None, "created_at": at, "changed_at": at,
        "expires_at": now + timedelta(hours=3, seconds=number % 3600), "ended_at": None if held else at, "reason": "",
    }


def figures(made: Scene, size: int) -> list[Figure]:
    """`bob` of finance looks, and nothing else is in the database but what the other figures left there."""
    made.browser("bob", ["user", "finance"])
    page = request("GET", "/actions", {"Host": HOST, "Accept": "text/html", "Cookie": made.cookie("bob")})
    with serve(made, "bare_queue") as (port, _pid):
        bare_page = request("GET", "/", {"Host": "localhost"})
        app, bare = Line(made.address), Line(("127.0.0.1", port))
        rounds, each = 8 * size, 10

        def taken() -> tuple[float, float]:
            _alike(app.ask(page), bare.ask(bare_page))
            return interleaved(lambda: app.ask(page), lambda: bare.ask(bare_page), rounds=rounds, each=each)

        few(made)
        small, _ = taken()
        fill(made)
        value, floor = taken()
        own, other = app.ask(page)[1], bare.ask(bare_page)[1]
        app.close()
        bare.close()
    n = rounds * each
    return [
        Figure("queue-page", "ms", value, floor, n, goal=2.0), Figure("queue-page-beside-50-in-all", "ms", value, small, n),
        Figure("queue-page-sent", "KiB", len(own) / 1024, len(other) / 1024, 1),
        Figure("queue-page-compressed", "KiB", _compressed(own), _compressed(other), 1),
    ]


def _compressed(body: bytes) -> float:
    return len(gzip.compress(body, 6)) / 1024


def _alike(*answers: tuple[int, bytes]) -> None:
    for status, body in answers:
        if status != 200 or body.count(b'class="go"') != 50 or body.count(b"Harbour Bank") < 50:
            raise RuntimeError(f"not the page: {status} {body[:500]!r}")
