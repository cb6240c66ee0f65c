"""Fifty decisions a second, held for a minute: people open a page, sign with their passkey and press, whether or not those before
them were answered. What is measured is the answer to the press, from the moment it was due."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.app_parts import PageKey
from tests.bench import held_calls
from tests.bench.figures import Figure, percentile
from tests.bench.http_client import Line, request
from tests.bench.scene import HOST, Scene
from tests.keeper_parts import PUBLIC_URL
from tests.scripted_provider import Scripted

OPTIONS = re.compile(r'data-passkey="get"[^>]* data-options="([^"]+)"')
HIDDEN = re.compile(r'name="(shown|sealed|csrf_token)" value="([^"]*)"')
PER_SECOND = 50
SECONDS, QUICK = 60, 10
PEOPLE = 16
"""Each decides on what their own agent asked, one after the other, as a passkey's counter wants it."""


@dataclass
class Desk:
    """One person, and what waits for them."""

    name: str
    cookie: str
    key: PageKey
    waiting: list[str]
    took: list[float] = field(default_factory=list)
    """Milliseconds from when a press was due."""


def figures(made: Scene, bank: Scripted, *, quick: bool) -> list[Figure]:
    """`decisions-50` is how many a second were answered; its floor is how many were asked for."""
    seconds = QUICK if quick else SECONDS
    desks = _desks(made, bank, PER_SECOND * seconds)
    began, ended = time.perf_counter(), threading.Event()
    threads = [
        threading.Thread(target=_decide, args=(made, desk, began, number, seconds, ended)) for number, desk in enumerate(desks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = [one for desk in desks for one in desk.took]
    if not took:
        raise RuntimeError("no decision was answered")
    n = len(took)
    return [
        Figure("decisions-50", "/s", n / seconds, float(PER_SECOND), n, more=True),
        Figure("decisions-50-p50", "ms", percentile(took, 0.5), None, n),
        Figure("decisions-50-p99", "ms", percentile(took, 0.99), None, n),
    ]


def _desks(made: Scene, bank: Scripted, count: int) -> list[Desk]:
    place, names = held_calls.place(made), [f"decider{number}" for number in range(PEOPLE)]
    found = []
    for name in names:
        agent = made.agent(name, bank)
        waiting = [held_calls.hold(place, agent, name, number) for number in range(-(-count // PEOPLE))]
        found.append(Desk(name, made.cookie(name), made.passkey(name), waiting))
    return found


def _decide(made: Scene, desk: Desk, began: float, first: int, seconds: int, ended: threading.Event) -> None:
    """This person's presses are due every PEOPLE-th time. What is late counts from when it was due; what is not answered within
    the time counts for nothing."""
    line = Line(made.address)
    try:
        for number, action in enumerate(desk.waiting):
            due = began + (first + number * PEOPLE) / PER_SECOND
            sent = _opened(line, desk, action)
            wait = due - time.perf_counter()
            if ended.wait(max(0.0, wait)) or time.perf_counter() - began >= seconds:
                return
            status, body = line.ask(sent)
            if status != 303:
                raise RuntimeError(f"the decision was answered {status}: {body[:2000]!r}")
            if time.perf_counter() - began < seconds:
                desk.took.append((time.perf_counter() - due) * 1000)
    except BaseException:
        ended.set()
        raise
    finally:
        line.close()


def _opened(line: Line, desk: Desk, action: str) -> bytes:
    """The page, and the press that answers it."""
    headers = {"Host": HOST, "Cookie": desk.cookie, "Accept": "text/html"}
    page = line.ask(request("GET", f"/actions/{action}", headers))[1].decode()
    found = OPTIONS.search(page)
    if found is None:
        raise RuntimeError(f"nothing to sign on the page: {page[:2000]}")
    assertion = desk.key.passkey.get(json.loads(html.unescape(found.group(1))), origin=PUBLIC_URL)
    form = {**dict(_hidden(page)), "assertion": json.dumps(assertion)}
    post = {**headers, "Origin": PUBLIC_URL, "Content-Type": "application/x-www-form-urlencoded"}
    return request("POST", f"/actions/{action}/decide", post, urlencode(form).encode())


def _hidden(page: str) -> Sequence[tuple[str, str]]:
    return HIDDEN.findall(page)
