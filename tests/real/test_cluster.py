"""A whole house on three nodes of OpenBao: `counterseal serve`, `worker` and `keeper` as processes, PostgreSQL, an agent that
calls and somebody who approves. The leader is killed under them: no answer is wrong, nothing runs twice, and service is back."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.figures import Figures
from tests.keeper_parts import KeeperParts, until
from tests.real.conftest import furnish
from tests.real.running import PATIENCE
from tests.real.scripted import Scripted, serve
from tests.real.standing import Standing, standing
from tests.vault_nodes import Node, Nodes, declare, running, settings
from vault.door import Door

pytestmark = [pytest.mark.real, pytest.mark.long]
UNAVAILABLE = -31503
PAUSE = 0.2
"""Seconds that each waits between two requests."""
ELECTED, SERVED = 45.0, 30.0
"""As in `tests.vault.test_cluster`: until another node leads, and from then on until all is served."""


@dataclass
class OnCluster(KeeperParts):
    """A keeper whose vault is somebody else's."""

    nodes: Nodes | None = None

    def start_vault(self) -> None:
        """Whichever of the nodes is not there."""
        assert self.nodes
        for node in self.nodes.nodes:
            if node.process is None:
                node.start()
        self.nodes.complete()

    def stop_vault(self) -> None:
        raise AssertionError("it is the operator's")


@contextmanager
def on_cluster() -> Iterator[OnCluster]:
    with running(3) as nodes:
        declare(nodes)
        folder = nodes.folder / "i"
        settings(folder, nodes, secret_id_file=str(folder / "secret-id"), timeout=3.0)
        (folder / "secret-id").write_text("its-secret-id")
        (folder / "secret-id").chmod(0o600)
        parts = OnCluster(folder, Door(folder / "run" / "keeper" / "door.sock"), False, folder / "log", nodes=nodes)
        try:
            parts.start_keeper()
            yield parts
        finally:
            parts.close()
            parts.stop_keeper()


@pytest.fixture(scope="module")
def house(postgres: str) -> Iterator[Standing]:
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    with standing(admin.url.set(database=name).render_as_string(hide_password=False), keeper=on_cluster) as made:
        try:
            yield made
        finally:
            print(made.logs())


class Away(Exception):
    """Not now, and nothing was done: what may be said while there is no leader."""


@dataclass
class Book:
    """What was asked, by its argument, and what came of it; `wrong` must stay empty."""

    came: dict[str, str] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    away: int = 0
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def load(self, jobs: dict[str, Callable[[str], str]]) -> Iterator[None]:
        self.done = dict.fromkeys(jobs, 0)
        threads = [threading.Thread(target=self._repeat, args=item, daemon=True) for item in jobs.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(3 * PATIENCE)

    def _repeat(self, name: str, job: Callable[[str], str]) -> None:
        for number in itertools.count():
            if self._stop.wait(PAUSE):
                return
            what = f"{name} {number} {secrets.token_hex(4)}"
            try:
                self.came[what] = job(what)
                self.done[name] += 1
            except Away:
                self.came[what] = "away"
                self.away += 1
            except Exception as error:  # anything else is a wrong answer
                self.wrong.append(f"{what}: {error!r}"[:2000])
                return

    def moves_on(self, times: int) -> None:
        goal = {name: count + times for name, count in self.done.items()}
        until(lambda: bool(self.wrong) or all(self.done[name] >= goal[name] for name in goal), f"served {times} times", 120)


def calling(house: Standing, port: int) -> Callable[[str], str]:
    """An allowed call, with a token of Ada's account. Who is told that it cannot be now knows that nothing was sent."""
    agent = house.agent("ada", "scripted")

    def once(what: str) -> str:
        found = agent.ask("tools/call", {"name": "look", "arguments": {"what": what}})
        if found.get("error", {}).get("code") == UNAVAILABLE:
            raise Away
        assert f"did {what}" in str(found["result"]), found
        return "done"

    agent.port = port
    return once


def approving(house: Standing, port: int) -> Callable[[str], str]:
    """A call is held, its owner gives the word for it, a worker runs it. Who cannot now opens the page again, and tries again."""
    agent, ada = house.agent("ada", "scripted"), house.visitor("ada")
    ada.port = port

    def once(what: str) -> str:
        found = agent.ask("tools/call", {"name": "wipe", "arguments": {"what": what}}, tasks=True)
        if found.get("error", {}).get("code") == UNAVAILABLE:
            raise Away
        assert found.get("result", {}).get("resultType") == "task", found
        action = str(found["result"]["taskId"])
        until(lambda: _given(ada, action) or house.state(action) != "held", f"{action} is decided", PATIENCE)
        return house.becomes(action, "done", "failed", "uncertain", "void", "expired")

    return once


def _given(ada: Any, action: str) -> bool:
    page = ada.get(f"/actions/{action}")
    assert page.status_code in (200, 503), page.text[:2000]
    if page.status_code == 503 or "data-options" not in page.text:
        return False
    answer = ada.give(action, page)
    assert answer.status_code in (303, 400, 409, 503), answer.text[:2000]
    return bool(answer.status_code == 303)


def test_the_leader_is_killed_under_agents_and_approvers(house: Standing, figures: Figures) -> None:
    """Long: a house of processes, an election, and what was waiting for it."""
    assert isinstance(house.keeper, OnCluster)
    nodes = house.keeper.nodes
    assert nodes
    with ExitStack() as stack:
        scripted = stack.enter_context(serve())
        furnish(house, scripted)
        book, leader = Book(), nodes.active()
        assert leader
        with book.load({"call": calling(house, house.ports[0]), "approval": approving(house, house.ports[1])}):
            book.moves_on(5)
            elected, served = _struck(nodes, leader, book)
            book.moves_on(5)
        figures.add("house on a cluster: ms until another node led", round(elected * 1000))
        figures.add("house on a cluster: ms from then until all was served", round(served * 1000))
        _agree(book, scripted, figures)
        assert elected < ELECTED
        assert served < SERVED
        house.keeper.start_vault()
    assert house.command("audit", "verify").startswith("The log holds: ")


def _struck(nodes: Nodes, leader: Node, book: Book) -> tuple[float, float]:
    """Seconds until another node leads, and from then on until each kind of work was done again."""
    began = time.monotonic()
    leader.kill()
    until(lambda: nodes.active() is not None, "another node leads", 120)
    elected = time.monotonic() - began
    book.moves_on(1)
    return elected, time.monotonic() - began - elected


def _agree(book: Book, scripted: Scripted, figures: Figures) -> None:
    """What everybody was told is what the server heard."""
    for what, came in book.came.items():
        heard = scripted.calls(what)
        allowed = {"done": {1}, "away": {0}, "failed": {0}, "void": {0}, "expired": {0}, "uncertain": {0, 1}}[came]
        if heard not in allowed:
            book.wrong.append(f"{what}: {came}, and heard {heard} times")
    for came in sorted({*book.came.values()}):
        figures.add(f"house on a cluster: {came}", sum(one == came for one in book.came.values()))
    figures.add("house on a cluster: wrong", len(book.wrong))
    assert book.wrong == []
