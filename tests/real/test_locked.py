"""SQLite, as on one machine: another process holds the write lock for longer than anybody waits. It is said in words, nothing is
half done, and everything works again afterwards, without a restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from tests.keeper_parts import until
from tests.real.conftest import furnish
from tests.real.running import PATIENCE
from tests.real.scripted import Scripted, serve
from tests.real.standing import LEDGER, READ, Standing, standing

pytestmark = pytest.mark.real
UNAVAILABLE = -31503
LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
database.execute("ROLLBACK")
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("locked") / "counterseal.sqlite"


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with serve() as made:
        yield made


@pytest.fixture(scope="module")
def small(file: Path, scripted: Scripted) -> Iterator[Standing]:
    """One web process and one worker on one file."""
    with standing(f"sqlite:///{file}", processes=1) as made:
        furnish(made, scripted)
        yield made


@contextmanager
def locked(stand: Standing, file: Path) -> Iterator[None]:
    """From outside, and until the block ends. The processes are the same ones afterwards."""
    before = [running.pid for running in (*stand.web, *stand.worker)]
    other = subprocess.Popen([sys.executable, "-c", LOCK, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        other.communicate("go on\n")
    assert [running.process.poll() for running in (*stand.web, *stand.worker)] == [None] * len(before)


def waits(stand: Standing) -> int:
    return sum(running.output.count("the worker waits") for running in stand.worker)


def count(stand: Standing, table: str, **where: str) -> int:
    with stand.engine.connect() as database:
        condition = " AND ".join(f"{name} = :{name}" for name in where) or "1 = 1"
        return int(database.execute(text(f"SELECT count(*) FROM {table} WHERE {condition}"), where).scalar_one())


def test_a_connect_is_refused_in_words_and_connects_once_afterwards(small: Standing, file: Path) -> None:
    mira = small.visitor("mira")
    came = small.accounts.consent(mira.begin(LEDGER, [READ]), login_hint="mira")
    with locked(small, file):
        refused = mira.get(f"/connections/callback?{urlencode(came)}")
        assert refused.status_code == 503, refused.text
        assert "The database does not answer. Nothing was done." in refused.text
        begun = mira.send("/connections/new", provider=LEDGER, scope=[READ])
        assert begun.status_code == 503
        assert count(small, "connections", person=mira.person) == 0
    done = mira.get(f"/connections/callback?{urlencode(came)}")
    assert done.status_code == 303, "the answer was not spent"
    assert count(small, "connections", person=mira.person) == 1
    assert "Healthy" in mira.get("/connections").text


def test_nothing_is_minted_or_sent_and_the_same_call_works_afterwards(
    small: Standing, scripted: Scripted, file: Path, what: str
) -> None:
    agent, call = small.agent("ada", "scripted"), {"name": "look", "arguments": {"what": what}}
    assert "did first" in str(agent.ask("tools/call", {"name": "look", "arguments": {"what": "first"}})["result"])
    leases = count(small, "leases")
    with locked(small, file):
        answer = agent.post("tools/call", call)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        error = answer.json()["error"]
        assert error["code"] == UNAVAILABLE
        assert error["data"]["code"] == "database_away"
        assert "Nothing was done" in error["message"]
        assert scripted.calls(what) == 0
        assert count(small, "leases") == leases
    assert f"did {what}" in str(agent.ask("tools/call", call)["result"])
    assert scripted.calls(what) == 1


def test_an_approval_is_not_taken_and_can_be_given_afterwards_and_runs_once(
    small: Standing, scripted: Scripted, file: Path, what: str
) -> None:
    ada, agent = small.visitor("ada"), small.agent("ada", "scripted")
    action = agent.task("pay", {"what": what})
    page = ada.get(f"/actions/{action}")
    with locked(small, file):
        refused = ada.give(action, page)
        assert refused.status_code == 503
        assert "Nothing was done" in refused.text
        told = agent.ask("tools/call", {"name": "pay", "arguments": {"what": f"{what}, too"}}, tasks=True)
        assert told["error"]["code"] == UNAVAILABLE
        assert ada.get("/actions").status_code == 200, "what waits can still be looked at"
    assert small.state(action) == "held"
    assert small.entries(action) == ["action.held"]
    assert count(small, "decision", action=action) == 0
    assert ada.decide(action).status_code == 303
    small.becomes(action, "done")
    assert scripted.calls(what) == 1
    assert small.command("audit", "verify").startswith("The log holds: ")


def test_an_answer_that_comes_while_the_result_cannot_be_written_is_not_lost_and_nothing_runs_twice(
    small: Standing, scripted: Scripted, file: Path, what: str
) -> None:
    """The server has done it; then the lock is there for as long as anybody waits for the word that it was done."""
    action = small.agent("ada", "scripted").task("wipe", {"what": what})
    scripted.hold("tools/call")
    assert small.visitor("ada").decide(action).status_code == 303
    assert scripted.reached.wait(PATIENCE)
    waited = waits(small)
    with locked(small, file):
        scripted.reset()
        until(lambda: waits(small) > waited, "the worker finds the lock", PATIENCE)
        assert small.state(action) == "executing"
    assert small.becomes(action, "done", "uncertain")
    again = small.agent("ada", "scripted").ask("tools/call", {"name": "wipe", "arguments": {"what": what}}, tasks=True)
    assert f"did {what}" in str(again) or "may have run" in str(again), again
    assert scripted.calls(what) == 1
