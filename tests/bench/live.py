"""From a decision's commit to the byte that tells 500 open pages of approvers of it; and what a stream occupies.

Beside it, the same under the barest app: its streams are woken in the same process and read the same."""

from __future__ import annotations

import html
import selectors
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import psutil
from sqlalchemy import func, select

from tests.bench import queue_page
from tests.bench.bare import serve
from tests.bench.decision_to_call import HIDDEN, _ask, _held
from tests.bench.figures import Figure, percentile
from tests.bench.http_client import Line, request
from tests.bench.scene import HOST, Agent, Scene
from tests.keeper_parts import PUBLIC_URL
from webapp.approvals.tables import Action

STREAMS, EACH = 500, 4
"""Approvers, each with one page open; decisions in a run, times its size."""
QUIET = 1.5
"""Seconds without an event, before the next decision: what the one before set off is over."""
LOOKS = 0.001

Took = list[float]


def figures(made: Scene, agent: Agent, size: int) -> list[Figure]:
    """`bob` of finance rejects what `agent` asks; all the others have the queue open."""
    with made.house.database.read() as session:
        if not session.scalar(select(func.count()).select_from(Action).where(Action.state == "held")):
            queue_page.few(made)
            queue_page.fill(made)
    people = [f"approver{number}" for number in range(STREAMS)]
    for name in people:
        made.browser(name, ["user", "finance"])
    made.browser("bob", ["user", "finance"])
    rounds = EACH * size
    app, own = _ours(made, agent, people, rounds)
    floor, floor_own = _bare(made, people, rounds)
    n = STREAMS * rounds
    return [
        Figure("live-500-p50", "ms", percentile(app, 0.5), percentile(floor, 0.5), n),
        Figure("live-500-p99", "ms", percentile(app, 0.99), percentile(floor, 0.99), n),
        Figure("live-stream-memory", "KiB", own, floor_own, STREAMS),
    ]


def _ours(made: Scene, agent: Agent, people: list[str], rounds: int) -> tuple[Took, float]:
    assert made.web is not None
    headers = {"Host": HOST, "Accept": "text/event-stream"}
    asked = [request("GET", "/actions/count", {**headers, "Cookie": made.cookie(name)}) for name in people]
    before = _kib(made.web.pid)
    with _open(made.address, asked) as streams:
        own = (_kib(made.web.pid) - before) / STREAMS
        took = [one for number in range(rounds) for one in _told(streams, _rejecting(made, agent, number))]
    return took, own


def _bare(made: Scene, people: list[str], rounds: int) -> tuple[Took, float]:
    ids = [made.browser(name).person for name in people]
    asked = [request("GET", f"/live?person={one}", {"Host": "localhost", "Accept": "text/event-stream"}) for one in ids]
    with made.house.database.read() as session:
        held = list(session.scalars(select(Action.id).where(Action.state == "held").limit(rounds)))
    with serve(made, "bare_live") as (port, pid):
        address, before = ("127.0.0.1", port), _kib(pid)

        def decide(action: str) -> float:
            line = Line(address)
            status, body = line.ask(request("POST", f"/decide?action={action}", {"Host": "localhost", "Content-Length": "0"}))
            line.close()
            if status != 200:
                raise RuntimeError(f"answered {status}: {body[:300]!r}")
            return float(body)

        with _open(address, asked) as streams:
            own = (_kib(pid) - before) / STREAMS
            took = [one for action in held for one in _told(streams, lambda action=action: decide(action))]  # type: ignore[misc]
    return took, own


class Streams:
    """Open streams: when each was told something last."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.told: dict[int, list[float]] = {}
        self._ended = threading.Event()
        self._waiting = selectors.DefaultSelector()
        for number, line in enumerate(lines):
            self._waiting.register(line.socket, selectors.EVENT_READ, number)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._waiting.select(0.2):
                read = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not read:
                    self._waiting.unregister(key.fileobj)
                elif b"data:" in read:
                    self.told.setdefault(key.data, []).append(time.monotonic())

    def settle(self) -> None:
        """Until nobody was told anything for a while."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET:
            told = sum(map(len, self.told.values()))
            if told != last:
                last, since = told, time.monotonic()
            time.sleep(0.05)
        self.told.clear()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._waiting.close()
        for line in self.lines:
            line.close()


@contextmanager
def _open(address: tuple[str, int], asked: list[bytes]) -> Iterator[Streams]:
    lines = []
    for sent in asked:
        line = Line(address)
        line.socket.sendall(sent)
        while b"data:" not in line.read:
            line.more()
        if not line.read.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no stream: {line.read[:300]!r}")
        lines.append(line)
    streams = Streams(lines)
    streams.settle()
    try:
        yield streams
    finally:
        streams.close()


def _told(streams: Streams, decide: Callable[[], float]) -> Took:
    """Milliseconds from the commit until each was told. Raises RuntimeError where one is not told."""
    streams.settle()
    committed = decide()
    end, took = time.monotonic() + 60, Took()
    while len(took) < STREAMS and time.monotonic() < end:
        time.sleep(0.1)
        first = (next((at for at in list(times) if at >= committed), None) for times in list(streams.told.values()))
        took = [(at - committed) * 1000 for at in first if at is not None]
    if len(took) < STREAMS:
        raise RuntimeError(f"{STREAMS - len(took)} of {STREAMS} were not told within a minute")
    return took


def _rejecting(made: Scene, agent: Agent, number: int) -> Callable[[], float]:
    """An action that waits, and its page open: what is left is to press the button, which says when that was committed."""
    order = {"amount": "1000.00", "currency": "EUR", "iban": f"DE{number:020}", "payee": f"Payee {number}"}
    threading.Thread(target=lambda: _ask(made, agent.call("send_payment", order)), daemon=True).start()
    action, headers = _held(made, agent), {"Host": HOST, "Cookie": made.cookie("bob"), "Accept": "text/html"}
    line = Line(made.address)
    form = dict(HIDDEN.findall(line.ask(request("GET", f"/actions/{action}", headers))[1].decode()))
    post = {**headers, "Origin": PUBLIC_URL, "Content-Type": "application/x-www-form-urlencoded"}
    said = {"csrf_token": form["csrf_token"], "shown": html.unescape(form["shown"]), "reason": "Not this one"}
    sent = request("POST", f"/actions/{action}/reject", post, urlencode(said).encode())

    def reject() -> float:
        watched = sqlite3.connect(made.house.database.engine.url.database or "")
        line.socket.sendall(sent)
        while watched.execute("SELECT 1 FROM action WHERE id = ? AND state = 'rejected'", (action,)).fetchone() is None:
            time.sleep(LOOKS)
        committed = time.monotonic()
        watched.close()
        line.close()
        return committed

    return reject


def _kib(pid: int) -> float:
    root = psutil.Process(pid)
    total: int = sum(one.memory_full_info().pss for one in [root, *root.children(recursive=True)])
    return total / 1024
