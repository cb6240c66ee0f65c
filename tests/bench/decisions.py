"""Fifty decisions a second, held for a minute: people have read their pages, sign with their passkey and press, whether or not
those before them were answered. What is measured is the answer to the press, from the moment it was due. The pages are opened
before the minute begins, and measured on their own."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
    presses: list[bytes] = field(default_factory=list)
    """What answers each page, in their order: a passkey counts."""
    opened: list[float] = field(default_factory=list)
    """Milliseconds of each page."""
    took: list[float] = field(default_factory=list)
    """Milliseconds from when a press was due."""


def figures(made: Scene, bank: Scripted, *, quick: bool) -> list[Figure]:
    """`decisions-50` is how many a second were answered; its floor is how many were asked for."""
    seconds = QUICK if quick else SECONDS
    desks = _desks(made, bank, PER_SECOND * seconds)
    began = time.perf_counter()
    _all(desks, lambda desk, _number, ended: _open(made, desk, ended))
    pages = [one for desk in desks for one in desk.opened]
    read = len(pages) / (time.perf_counter() - began)
    began = time.perf_counter()
    _all(desks, lambda desk, number, ended: _press(made, desk, began, number, seconds, ended))
    took, n = [one for desk in desks for one in desk.took], len(pages)
    if not took:
        raise RuntimeError("no decision was answered")
    return [
        Figure("decision-pages", "/s", read, None, n, more=True),
        Figure("decision-pages-p50", "ms", percentile(pages, 0.5), None, n),
        Figure("decision-pages-p99", "ms", percentile(pages, 0.99), None, n),
        Figure("decisions-50", "/s", len(took) / seconds, float(PER_SECOND), len(took), more=True),
        Figure("decisions-50-p50", "ms", percentile(took, 0.5), None, len(took)),
        Figure("decisions-50-p99", "ms", percentile(took, 0.99), None, len(took)),
    ]


def _all(desks: Sequence[Desk], work: Callable[[Desk, int, threading.Event], None]) -> None:
    """All of them at once. One that fails stops the others, and the bench."""
    ended, failed = threading.Event(), list[BaseException]()

    def one(desk: Desk, number: int) -> None:
        try:
            work(desk, number, ended)
        except BaseException as error:
            failed.append(error)
            ended.set()

    threads = [threading.Thread(target=one, args=(desk, number)) for number, desk in enumerate(desks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _desks(made: Scene, bank: Scripted, count: int) -> list[Desk]:
    place, names = held_calls.place(made), [f"decider{number}" for number in range(PEOPLE)]
    found = []
    for name in names:
        agent = made.agent(name, bank)
        waiting = [held_calls.hold(place, agent, name, number) for number in range(-(-count // PEOPLE))]
        found.append(Desk(name, made.cookie(name), made.passkey(name), waiting))
    return found


def _open(made: Scene, desk: Desk, ended: threading.Event) -> None:
    """One page after the other, each read and signed. A challenge lives for five minutes."""
    line, headers = Line(made.address), {"Host": HOST, "Cookie": desk.cookie, "Accept": "text/html"}
    try:
        for action in desk.waiting:
            if ended.is_set():
                return
            began = time.perf_counter()
            page = line.ask(request("GET", f"/actions/{action}", headers))[1].decode()
            desk.opened.append((time.perf_counter() - began) * 1000)
            desk.presses.append(_signed(desk, action, page, headers))
    finally:
        line.close()


def _press(made: Scene, desk: Desk, began: float, first: int, seconds: int, ended: threading.Event) -> None:
    """This person's presses are due every PEOPLE-th time. What is late counts from when it was due; what is not answered within
    the time counts for nothing."""
    line = Line(made.address)
    try:
        for number, sent in enumerate(desk.presses):
            due = began + (first + number * PEOPLE) / PER_SECOND
            if ended.wait(max(0.0, due - time.perf_counter())) or time.perf_counter() - began >= seconds:
                return
            status, body = line.ask(sent)
            if status != 303:
                raise RuntimeError(f"the decision was answered {status}: {body[:2000]!r}")
            if time.perf_counter() - began < seconds:
                desk.took.append((time.perf_counter() - due) * 1000)
    finally:
        line.close()


def _signed(desk: Desk, action: str, page: str, headers: Mapping[str, str]) -> bytes:
    """The press that answers a page."""
    found = OPTIONS.search(page)
    if found is None:
        raise RuntimeError(f"nothing to sign on the page: {page[:2000]}")
    assertion = desk.key.passkey.get(json.loads(html.unescape(found.group(1))), origin=PUBLIC_URL)
    form = {**dict(HIDDEN.findall(page)), "assertion": json.dumps(assertion)}
    post = {**headers, "Origin": PUBLIC_URL, "Content-Type": "application/x-www-form-urlencoded"}
    return request("POST", f"/actions/{action}/decide", post, urlencode(form).encode())
