"""What breaks at the worst moment: the process that executes is killed, the vault stops or is sealed, the database is locked, the
upstream server fails. Nothing runs twice, nothing is lost, everything is said in words, and it works again without a restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from sqlalchemy import text

from tests.keeper_parts import until
from tests.processes import freeze
from tests.real.running import PATIENCE
from tests.real.scripted import Scripted
from tests.real.standing import LEDGER, READ, Standing, health

pytestmark = pytest.mark.real
UNAVAILABLE = -31503


def confirmed(stand: Standing, what: str, tool: str = "wipe") -> str:
    """A task of Ada's agent, held and confirmed by her: a worker runs it."""
    action = stand.agent("ada", "scripted").task(tool, {"what": what})
    done = stand.visitor("ada").decide(action)
    assert done.status_code == 303, done.text
    return action


def refused_again(stand: Standing, upstream: Scripted, action: str, what: str) -> None:
    """The same call again, in every way a client may put it, runs nothing while the action is uncertain."""
    agent, heard = stand.agent("ada", "scripted"), upstream.calls(what)
    for tasks in (True, False):
        answer = agent.ask("tools/call", {"name": "wipe", "arguments": {"what": what}}, tasks=tasks)
        assert "may have run" in str(answer), answer
    assert stand.state(action) == "uncertain"
    assert upstream.calls(what) == heard


@pytest.mark.parametrize("executing", ["worker", "web"])
@pytest.mark.parametrize("heard", [0, 1], ids=["before the upstream hears", "after the upstream heard"])
def test_kill_9_of_the_process_that_executes_leaves_it_uncertain_and_runs_nothing_twice(
    stand: Standing, upstream: Scripted, what: str, executing: str, heard: int
) -> None:
    agent, ada = stand.agent("ada", "scripted"), stand.visitor("ada")
    agent.port, ada.port = stand.ports
    upstream.hold("tools/call" if heard else "initialize")
    if executing == "worker":
        action = agent.task("wipe", {"what": what})
    else:
        before = stand.held("scripted")
        agent.begin("wipe", {"what": what})
        action = stand.next_held("scripted", before)
    assert ada.decide(action).status_code == 303
    assert upstream.reached.wait(PATIENCE)
    killed = stand.process_at(upstream.peer)
    assert (killed in stand.worker) == (executing == "worker")
    killed.kill()
    upstream.reset()
    stand.becomes(action, "uncertain")
    assert upstream.calls(what) == heard
    stand.mend()
    agent.port = stand.ports[1]
    refused_again(stand, upstream, action, what)
    assert upstream.calls(what) == heard
    closed = ada.send(f"/actions/{action}/close", found="ran" if heard else "did_not_run", note="Looked.")
    assert closed.status_code == 303
    stand.becomes(action, "done" if heard else "failed")
    assert stand.entries(action).count("action.executing") == 1


@pytest.mark.parametrize("how", ["error", "cut", "slow"])
def test_an_upstream_that_fails_after_it_heard_leaves_a_held_call_uncertain(
    stand: Standing, upstream: Scripted, what: str, how: str
) -> None:
    upstream.how = how
    action = confirmed(stand, what)
    stand.becomes(action, "uncertain")
    upstream.reset()
    refused_again(stand, upstream, action, what)
    assert upstream.calls(what) == 1
    assert "It was sent, and no answer came: it may have run." in stand.visitor("ada").get(f"/actions/{action}").text


@pytest.mark.parametrize("how", ["error", "cut", "slow"])
def test_an_upstream_that_fails_is_told_to_the_agent_of_an_allowed_call_and_not_asked_again(
    stand: Standing, upstream: Scripted, what: str, how: str
) -> None:
    upstream.how = how
    answer = stand.agent("ada", "scripted").ask("tools/call", {"name": "look", "arguments": {"what": what}})
    assert answer["result"]["isError"]
    assert "it may have run" in str(answer["result"])
    assert upstream.calls(what) == 1
    upstream.reset()
    again = stand.agent("ada", "scripted").ask("tools/call", {"name": "look", "arguments": {"what": what}})
    assert f"did {what}" in str(again["result"])


@contextmanager
def broken(stand: Standing, how: str) -> Iterator[None]:
    """The vault stopped or sealed; back at the end. The web processes and workers are the same ones afterwards."""
    before = [running.pid for running in (*stand.web, *stand.worker)]
    if how == "sealed":
        stand.keeper.seal()
    else:
        stand.keeper.stop_vault()
    try:
        until(lambda: health(stand.ports[0]) == 503, "the health says so", PATIENCE)
        yield
    finally:
        stand.keeper.unseal()
        for port in stand.ports:
            until(lambda port=port: health(port) == 200, "the house is well again", PATIENCE)
    assert before == [running.pid for running in (*stand.web, *stand.worker)]


vault = pytest.mark.parametrize("how", ["stopped", "sealed"])


@vault
def test_without_the_vault_a_connect_is_refused_in_words_and_goes_on_afterwards(
    stand: Standing, upstream: Scripted, how: str
) -> None:
    """A state is good once, so the page loaded again says to begin again; that works, without a restart."""
    mira = stand.visitor("mira")
    begun = mira.begin(LEDGER, [READ])
    with broken(stand, how):
        came = mira.back_from(stand.accounts, begun, f"mira-{how}")
        assert came.status_code == 503
        assert "vault" in came.text.lower()
        again = came.request.url.partition("/connections")[2]
    done = mira.get("/connections" + again)
    assert done.status_code == 400
    assert "Start again" in done.text
    assert mira.back_from(stand.accounts, mira.begin(LEDGER, [READ]), f"mira-{how}").status_code == 303
    assert "Healthy" in mira.get("/connections").text


@vault
def test_without_the_vault_nothing_is_minted_or_sent_and_calls_work_again_afterwards(
    stand: Standing, upstream: Scripted, what: str, how: str
) -> None:
    agent, call = stand.agent("ada", "scripted"), {"name": "look", "arguments": {"what": what}}
    with broken(stand, how):
        answer = agent.ask("tools/call", call)
        assert answer["error"]["code"] == UNAVAILABLE, answer
        assert "vault" in answer["error"]["message"].lower()
    assert upstream.calls(what) == 0
    assert f"did {what}" in str(agent.ask("tools/call", call)["result"])


@vault
def test_without_the_vault_an_approval_is_not_taken_and_can_be_given_afterwards(
    stand: Standing, upstream: Scripted, what: str, how: str
) -> None:
    ada, action = stand.visitor("ada"), stand.agent("ada", "scripted").task("wipe", {"what": what})
    page = ada.get(f"/actions/{action}")
    with broken(stand, how):
        answer = ada.give(action, page)
        assert answer.status_code == 503
        assert "vault" in answer.text.lower()
        assert ada.get("/actions").status_code == 200, "what waits can still be looked at"
    assert stand.state(action) == "held"
    assert ada.decide(action).status_code == 303
    stand.becomes(action, "done")
    assert upstream.calls(what) == 1


@vault
def test_an_approval_outlives_the_vault_and_is_executed_once_when_it_is_back(
    stand: Standing, upstream: Scripted, what: str, how: str
) -> None:
    """The workers are frozen while it is given, and find the vault gone when they wake. This one needs a token."""
    with frozen(stand) as wake:
        action = confirmed(stand, what, "pay")
        with broken(stand, how):
            before = waits(stand)
            wake()
            until(lambda: waits(stand) > before, "a worker finds that it has to wait", PATIENCE)
            assert stand.state(action) == "approved"
            assert upstream.calls(what) == 0
    stand.becomes(action, "done")
    assert upstream.calls(what) == 1


@contextmanager
def frozen(stand: Standing) -> Iterator[Callable[[], None]]:
    def wake() -> None:
        for running in stand.worker:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGCONT)

    for running in stand.worker:
        main = psutil.Process(running.pid)
        for one in (main, *main.children(recursive=True)):
            freeze(one.pid)
    try:
        yield wake
    finally:
        wake()


def waits(stand: Standing) -> int:
    return sum(running.output.count("the worker waits") for running in stand.worker)


def test_a_locked_database_is_said_and_nothing_is_half_done(stand: Standing, upstream: Scripted, what: str) -> None:
    """PostgreSQL: somebody locks the actions for longer than anybody waits."""
    ada, agent = stand.visitor("ada"), stand.agent("ada", "scripted")
    action = agent.task("wipe", {"what": what})
    page = ada.get(f"/actions/{action}")
    with stand.engine.connect() as locking:
        locking.execute(text("LOCK TABLE action IN ACCESS EXCLUSIVE MODE"))
        for answer in (ada.get("/actions"), ada.give(action, page)):
            assert answer.status_code == 503
            assert "Nothing was done" in answer.text
        told = agent.ask("tools/call", {"name": "wipe", "arguments": {"what": f"{what}, too"}}, tasks=True)
        assert told["error"]["code"] == UNAVAILABLE
    assert stand.state(action) == "held"
    assert stand.entries(action) == ["action.held"]
    assert ada.decide(action).status_code == 303
    stand.becomes(action, "done")
    assert upstream.calls(what) == 1
    assert stand.command("audit", "verify").startswith("The log holds: ")
