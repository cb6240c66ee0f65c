"""From the approver's press of the button to the server's receipt of the call, while the agent waits."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from urllib.parse import urlencode

from sqlalchemy import select

from tests import keeper_parts
from tests.app_parts import PageKey
from tests.bench.figures import Figure, percentile
from tests.bench.http_client import Line, request
from tests.bench.scene import HOST, Agent, Scene
from tests.keeper_parts import PUBLIC_URL
from webapp.approvals.tables import Action

OPTIONS = re.compile(r'data-passkey="get"[^>]* data-options="([^"]+)"')
HIDDEN = re.compile(r'name="(shown|sealed|csrf_token)" value="([^"]*)"')
EACH = 40
"""Of 1,000.00: a person may pay 50,000.00 a day."""


def figures(made: Scene, agents: list[Agent]) -> list[Figure]:
    """`bob` of finance approves what each of these people's agents asks."""
    made.browser("bob", ["user", "finance"])
    took = [_once(made, agent, number) for agent in agents for number in range(EACH)]
    n = len(took)
    return [
        Figure("decision-to-call-p50", "ms", percentile(took, 0.5), None, n),
        Figure("decision-to-call-p99", "ms", percentile(took, 0.99), None, n),
    ]


def _once(made: Scene, agent: Agent, number: int) -> float:
    order = {"amount": "1000.00", "currency": "EUR", "iban": f"DE{number:020}", "payee": f"Payee {number}"}
    answered: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: answered.append(_ask(made, agent.call("send_payment", order))))
    before = len(_received(made))
    waiting.start()
    pressed = _approve(made, _held(made, agent))
    waiting.join(30)
    if not answered or b"receipt" not in answered[0][1]:
        raise RuntimeError(f"the agent got {answered}")
    received = _received(made)
    if len(received) != before + 1:
        raise RuntimeError(f"{len(received) - before} calls for one approval")
    return (received[-1] - pressed) * 1000


def _ask(made: Scene, sent: bytes) -> tuple[int, bytes]:
    line = Line(made.address)
    try:
        return line.ask(sent)
    finally:
        line.close()


def _received(made: Scene) -> list[float]:
    line = Line(made.straight)
    found: list[float] = json.loads(line.ask(request("GET", "/received", {"Host": f"127.0.0.1:{made.upstream}"}))[1])
    line.close()
    return found


def _held(made: Scene, agent: Agent) -> str:
    """The action, once the agent waits for it."""
    found: list[str] = []

    def there() -> bool:
        with made.house.database.read() as session:
            found[:] = session.scalars(select(Action.id).where(
                Action.person == agent.person, Action.state == "held", Action.waiting_until.is_not(None)
            ))
        return bool(found)

    keeper_parts.until(there, "the call is held")
    return found[0]


def _approve(made: Scene, action: str) -> float:
    """Open the page, answer with the passkey, press: when that was. What follows is measured, the person's own time is not."""
    headers, key = {"Host": HOST, "Cookie": made.cookie("bob"), "Accept": "text/html"}, made.passkey("bob")
    line = Line(made.address)
    page = line.ask(request("GET", f"/actions/{action}", headers))[1].decode()
    form = {**dict(HIDDEN.findall(page)), "assertion": json.dumps(_assertion(key, page))}
    post = {**headers, "Origin": PUBLIC_URL, "Content-Type": "application/x-www-form-urlencoded"}
    sent = request("POST", f"/actions/{action}/decide", post, urlencode(form).encode())
    pressed = time.monotonic()
    status, body = line.ask(sent)
    line.close()
    if status != 303:
        raise RuntimeError(f"the decision was answered {status}: {body[:2000]!r}")
    return pressed


def _assertion(key: PageKey, page: str) -> object:
    found = OPTIONS.search(page)
    if found is None:
        raise RuntimeError(f"nothing to sign on the page: {page[:2000]}")
    return key.passkey.get(json.loads(html.unescape(found.group(1))), origin=PUBLIC_URL)
