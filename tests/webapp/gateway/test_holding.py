"""A held call waits in the way its client can, runs once when it is approved, and is answered once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from mcp_types import methods
from sqlalchemy import select

from tests.webapp.approvals.parts import decide, reject, with_passkey
from tests.webapp.gateway.conftest import MODERN, Agent, Answer, World
from tests.webapp.gateway.peers import Peer, RawServer, http_answer, modern, rpc
from webapp.approvals.tables import Action
from webapp.composition import job_handlers
from webapp.db.due import Due
from webapp.gateway import outcomes
from webapp.gateway.upstream import IDEMPOTENCY
from webapp.registry.rules import Approval

pytestmark = [pytest.mark.real, pytest.mark.both]
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
URL = {"elicitation": {"url": {}}}
OK = {"resultType": "complete", "content": [{"type": "text", "text": "ok"}], "isError": False}
TOOL = {"name": "destroy_all", "description": "d", "inputSchema": {"type": "object"}}


def destroy(agent: Agent, what: str = "x", **more: Any) -> Answer:
    return agent.call("destroy_all", {"what": what}, **more)


def actions(world: World) -> list[Action]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Action).order_by(Action.created_at, Action.id)))


def confirm(world: World, person: str = "ada") -> None:
    """The person whose agent asked opens the last action's page and confirms with a passkey."""
    browser = world.browser(person)
    if not hasattr(browser, "key"):
        browser.key = with_passkey(browser)  # type: ignore[attr-defined]
    done = decide(browser, browser.key, actions(world)[-1].id)  # type: ignore[attr-defined]
    assert done.status_code == 303, done.text


def confirm_when_held(world: World, also: Callable[[], bool] = lambda: True) -> threading.Thread:
    """Confirm in a thread, as soon as something is held."""

    def run() -> None:
        world.until(lambda: bool(actions(world)) and also())
        confirm(world)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def ada(world: World, **capabilities: Any) -> Agent:
    world.browser("ada")
    return world.agent("ada", **capabilities)


def state_of(answer: Answer) -> dict[str, Any]:
    methods.validate_server_result("tools/call", MODERN, answer.result)
    assert answer.result["resultType"] == "input_required"
    return {"requestState": answer.result["requestState"]}


def test_state_alone_waits_a_leg_and_the_next_leg_runs_it_once(behind: World, peer: Peer) -> None:
    agent, before = ada(behind), len(peer.seen("tools/call"))
    first = destroy(agent)
    assert first.stream
    assert b": ping" in first.response.data
    assert len(peer.seen("tools/call")) == before
    confirm(behind)
    second = destroy(agent, params=state_of(first))
    assert second.text == "destroyed x"
    sent = peer.seen("tools/call")[before:]
    assert [one["json"]["params"]["_meta"][IDEMPOTENCY] for one in sent] == [actions(behind)[0].id]
    assert actions(behind)[0].delivered_at is not None
    assert destroy(agent, params=state_of(first)).text == "destroyed x"
    assert len(peer.seen("tools/call")) == before + 1


@sqlite
def test_the_same_call_again_finds_the_action_until_its_outcome_was_delivered(behind: World, peer: Peer) -> None:
    agent, before = ada(behind), len(peer.seen("tools/call"))
    destroy(agent)
    destroy(agent)
    assert len(actions(behind)) == 1
    confirm(behind)
    assert destroy(agent).text == "destroyed x"
    assert len(peer.seen("tools/call")) == before + 1
    destroy(agent)
    assert len(actions(behind)) == 2
    assert len(peer.seen("tools/call")) == before + 1


@sqlite
def test_a_decision_wakes_the_leg_that_waits(behind: World) -> None:
    behind.house.settings.gateway.wait_leg = 120
    agent = ada(behind)
    confirming = confirm_when_held(behind)
    assert destroy(agent).text == "destroyed x"
    confirming.join()


@sqlite
def test_progress_rises_and_carries_the_link(behind: World) -> None:
    behind.house.settings.gateway.wait_leg = 3
    answer = destroy(ada(behind), meta={"progressToken": "p1"})
    notes = [one["params"] for one in answer.messages if one.get("method") == "notifications/progress"]
    assert [note["progress"] for note in notes] == list(range(1, len(notes) + 1))
    assert len(notes) >= 2
    assert {note["progressToken"] for note in notes} == {"p1"}
    assert f"/actions/{actions(behind)[0].id}" in notes[0]["message"]
    assert b": ping" not in answer.response.data


@sqlite
def test_a_client_that_can_show_a_link_is_given_one_at_once(behind: World) -> None:
    agent = ada(behind, **URL)
    first = destroy(agent)
    assert not first.stream
    asked = first.result["inputRequests"]["counterseal_decision"]
    assert asked["method"] == "elicitation/create"
    assert asked["params"]["url"] == f"http://localhost:8000/actions/{actions(behind)[0].id}"
    answers = {"inputResponses": {"counterseal_decision": {"action": "accept"}}}
    second = destroy(agent, params={**state_of(first), **answers})
    assert second.result["resultType"] == "input_required"
    assert "inputRequests" not in second.result
    assert actions(behind)[0].state == "held"
    confirm(behind)
    assert destroy(agent, params=state_of(second)).text == "destroyed x"


@sqlite
@pytest.mark.parametrize("word", ["decline", "cancel"])
def test_who_will_not_open_the_link_is_told_how_to_go_on(behind: World, word: str) -> None:
    agent = ada(behind, **URL)
    answers = {"inputResponses": {"counterseal_decision": {"action": word}}}
    second = destroy(agent, params={**state_of(destroy(agent)), **answers})
    assert second.result["isError"] is True
    assert "identical arguments" in second.text
    assert actions(behind)[0].state == "held"


@sqlite
def test_a_form_that_says_accept_approves_nothing(behind: World, peer: Peer) -> None:
    """Form elicitation is the agent's own user speaking."""
    agent, before = ada(behind, elicitation={"form": {}}), len(peer.seen("tools/call"))
    answers = {"inputResponses": {"counterseal_decision": {"action": "accept", "content": {"approved": True}}}}
    first = destroy(agent, params=answers)
    assert "inputRequests" not in first.result
    assert destroy(agent, params={**state_of(first), **answers}).result["resultType"] == "input_required"
    assert len(peer.seen("tools/call")) == before


@sqlite
def test_at_the_ninth_round_the_waiting_is_given_up_and_the_action_stays(behind: World) -> None:
    behind.house.settings.gateway.wait_leg = 0
    agent, state, rounds = ada(behind), {}, 0
    while True:
        answer, rounds = destroy(agent, params=state), rounds + 1
        if answer.result["resultType"] == "complete":
            break
        state = state_of(answer)
    assert rounds == 9
    assert answer.result["isError"] is True
    assert f"/actions/{actions(behind)[0].id}" in answer.text
    assert actions(behind)[0].state == "held"


@sqlite
def test_a_rejection_reaches_the_agent_with_its_reason(behind: World, peer: Peer) -> None:
    agent, before = ada(behind), len(peer.seen("tools/call"))
    first = destroy(agent)
    assert reject(behind.browser("ada"), actions(behind)[0].id, "Ask me before.").status_code == 303
    second = destroy(agent, params=state_of(first))
    assert second.result["isError"] is True
    assert "Ask me before." in second.text
    assert "Ask me before." in destroy(agent).text
    assert len(peer.seen("tools/call")) == before


# -- requestState is an attacker's ----------------------------------------------------------------------------------------


@sqlite
def test_a_state_works_for_its_principal_and_its_call_only(behind: World) -> None:
    agent = ada(behind)
    mine = state_of(destroy(agent))
    other = destroy(agent, "y", params=mine)
    assert (other.status, other.error["code"]) == (400, -32602)
    stranger = behind.agent("mallory")
    assert destroy(stranger, params=mine).error["code"] == -32602
    forged = mine["requestState"][:-4] + "AAAA"
    assert destroy(agent, params={"requestState": forged}).error["code"] == -32602
    behind.house.clock.forward(minutes=61)  # type: ignore[attr-defined]
    agent.token = behind.agent("ada").token
    assert destroy(agent, params=mine).error["code"] == -32602


# -- tasks ---------------------------------------------------------------------------------------------------------------


def work(world: World) -> None:
    """What the worker would do now."""
    handlers = job_handlers(world.room.handed)
    with world.house.database.read() as session:
        rows = session.scalars(select(Due).where(Due.kind == "approvals.run")).all()
    for row in rows:
        handlers[row.kind](world.house, row)


def test_a_task_is_polled_run_by_the_worker_and_fetched_once(behind: World, peer: Peer) -> None:
    agent, before = ada(behind, **TASKS), len(peer.seen("tools/call"))
    task = destroy(agent).result
    assert (task["resultType"], task["status"], task["pollIntervalMs"]) == ("task", "working", 2000)
    assert f"/actions/{task['taskId']}" in task["statusMessage"]
    assert agent.modern("tasks/get", {"taskId": task["taskId"]}).result["status"] == "working"
    confirm(behind)
    work(behind)
    done = agent.modern("tasks/get", {"taskId": task["taskId"]}).result
    assert (done["resultType"], done["status"]) == ("complete", "completed")
    assert done["result"]["content"][0]["text"] == "destroyed x"
    assert len(peer.seen("tools/call")) == before + 1
    assert actions(behind)[0].delivered_at is not None


@sqlite
def test_a_task_is_its_principals_and_nobody_elses(behind: World) -> None:
    agent = ada(behind, **TASKS)
    task = destroy(agent).result["taskId"]
    stranger = behind.agent("mallory", **TASKS)
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        answer = stranger.modern(method, {"taskId": task, "inputResponses": {}})
        assert (answer.status, answer.error["code"]) == (400, -32602)
        assert answer.error["message"] == agent.modern(method, {"taskId": "act_none"}).error["message"]
    assert actions(behind)[0].state == "held"


@sqlite
def test_task_methods_are_for_who_declares_them(behind: World) -> None:
    agent = ada(behind, **TASKS)
    task = destroy(agent).result["taskId"]
    agent.capabilities = {}
    answer = agent.modern("tasks/get", {"taskId": task})
    assert (answer.status, answer.error["code"]) == (400, -32021)
    assert answer.error["data"] == {"requiredCapabilities": TASKS}


@sqlite
def test_a_cancelled_task_is_withdrawn_and_never_runs(behind: World, peer: Peer) -> None:
    agent, before = ada(behind, **TASKS), len(peer.seen("tools/call"))
    task = destroy(agent).result["taskId"]
    assert agent.modern("tasks/cancel", {"taskId": task}).result["resultType"] == "complete"
    assert agent.modern("tasks/get", {"taskId": task}).result["status"] == "cancelled"
    assert agent.modern("tasks/cancel", {"taskId": task}).result["resultType"] == "complete"
    work(behind)
    assert len(peer.seen("tools/call")) == before
    assert agent.modern("tasks/update", {"taskId": task, "inputResponses": {"x": {"action": "accept"}}}).status == 200


@sqlite
def test_an_allowed_call_is_no_task(behind: World) -> None:
    assert ada(behind, **TASKS).call("echo", {"text": "x"}).result["resultType"] == "complete"


# -- legacy clients --------------------------------------------------------------------------------------------------------


@sqlite
def test_a_legacy_client_waits_on_a_stream_and_calls_again(behind: World) -> None:
    agent = ada(behind)
    agent.initialize()
    params = {"name": "destroy_all", "arguments": {"what": "x"}, "_meta": {"progressToken": 7}}
    first = agent.legacy("tools/call", params)
    assert first.stream
    assert first.messages[0]["params"]["progressToken"] == 7
    assert first.result["isError"] is True
    assert "identical arguments" in first.text
    confirm(behind)
    second = agent.legacy("tools/call", params)
    methods.validate_server_result("tools/call", "2025-11-25", second.result)
    assert second.text == "destroyed x"


@sqlite
def test_a_link_as_an_error_is_only_for_clients_an_operator_named(behind: World) -> None:
    agent = ada(behind)
    agent.initialize(capabilities={"elicitation": {"url": {}}})
    params = {"name": "destroy_all", "arguments": {"what": "x"}}
    assert "result" in agent.legacy("tools/call", params).body
    behind.house.settings.gateway.url_elicitation_required = [agent.client]
    error = agent.legacy("tools/call", params).error
    assert error["code"] == -32042
    assert error["data"]["elicitations"][0]["url"].endswith(actions(behind)[0].id)


# -- going away ------------------------------------------------------------------------------------------------------------


def leave(answer: Answer) -> None:
    """Read one piece of the stream, then close it."""
    next(iter(answer.response.response))
    answer.response.close()


@sqlite
def test_closing_a_modern_stream_takes_the_call_back(behind: World) -> None:
    leave(destroy(ada(behind), buffered=False))
    assert actions(behind)[0].state == "withdrawn"


@sqlite
def test_closing_a_legacy_stream_takes_nothing_back(behind: World) -> None:
    """There a disconnect is no cancellation (2025-11-25, Transports)."""
    agent = ada(behind)
    agent.initialize()
    leave(agent.legacy("tools/call", {"name": "destroy_all", "arguments": {"what": "x"}}, buffered=False))
    assert actions(behind)[0].state == "held"


@sqlite
def test_too_many_who_wait_are_answered_at_once_and_lose_nothing(behind: World) -> None:
    behind.house.settings.gateway.wait_leg = 60
    agent = ada(behind)
    for _ in range(behind.house.settings.gateway.waiting_per_person):
        behind.room.places.take(agent.person)
    answer = destroy(agent)
    assert answer.result["resultType"] == "input_required"
    assert actions(behind)[0].state == "held"


@sqlite
def test_an_outcome_that_was_not_written_whole_is_given_again(behind: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = ada(behind)
    destroy(agent)
    confirm(behind)
    broken = destroy(agent, buffered=False)
    for piece in broken.response.response:
        if b"destroyed" in piece:
            break
    broken.response.close()
    assert actions(behind)[0].state == "done"
    assert actions(behind)[0].delivered_at is None
    assert destroy(agent).text == "destroyed x"
    assert len(actions(behind)) == 1


# -- what can go wrong when it runs ------------------------------------------------------------------------------------------


def listed(call: Callable[[dict[str, Any]], bytes | None], tool: dict[str, Any] = TOOL) -> Any:
    def answer(message: dict[str, Any]) -> bytes | None:
        if message["method"] == "tools/list":
            return http_answer(rpc(message, {"resultType": "complete", "tools": [tool], "ttlMs": 0, "cacheScope": "private"}))
        return call(message)

    return modern(answer)


@sqlite
def test_silence_leaves_it_uncertain_and_identical_calls_are_refused(
    world: World, raw: Callable[..., RawServer]
) -> None:
    server = raw(listed(lambda message: None))
    world.put(server.url, {"destroy_all": Approval("destroy")})
    agent = ada(world)
    destroy(agent)
    confirm(world)
    for _ in range(3):
        answer = destroy(agent)
        assert answer.result["isError"] is True
        assert "may have run" in answer.text
    assert actions(world)[0].state == "uncertain"
    assert len(actions(world)) == 1
    assert len(server.calls()) == 1


@sqlite
@pytest.mark.parametrize("status", ["307 Temporary Redirect", "403 Forbidden"])
def test_what_was_turned_away_failed_and_is_not_tried_again(
    world: World, raw: Callable[..., RawServer], status: str
) -> None:
    server = raw(listed(lambda message: http_answer(b"", status)))
    world.put(server.url, {"destroy_all": Approval("destroy")})
    agent = ada(world)
    destroy(agent)
    confirm(world)
    assert destroy(agent).result["isError"] is True
    assert actions(world)[0].state == "failed"
    assert len(server.calls()) == 1


@sqlite
def test_a_result_that_no_canonical_form_carries_is_kept_whole(world: World, raw: Callable[..., RawServer]) -> None:
    big = {**OK, "structuredContent": {"id": 2**60, "text": "\ud800"}}
    server = raw(listed(lambda message: http_answer(rpc(message, big))))
    world.put(server.url, {"destroy_all": Approval("destroy")})
    agent = ada(world)
    destroy(agent)
    confirm(world)
    assert destroy(agent).result["structuredContent"] == big["structuredContent"]


@sqlite
def test_a_tool_that_changed_while_it_was_held_does_not_run(world: World, raw: Callable[..., RawServer]) -> None:
    tool = dict(TOOL)
    server = raw(listed(lambda message: http_answer(rpc(message, OK)), tool))
    world.put(server.url, {"destroy_all": Approval("destroy")})
    agent = ada(world)
    first = destroy(agent)
    confirm(world)
    tool["description"] = "now it does something else"
    assert agent.modern("tools/list").result["tools"] == []
    refused = destroy(agent, params=state_of(first))
    assert refused.error["data"]["code"] == "drifted"
    assert server.calls() == []
    assert "something else" not in json.dumps(agent.modern("tools/list").body)


@sqlite
def test_a_revoked_agent_gets_nothing_run(behind: World, peer: Peer) -> None:
    from webapp.approvals import execution
    from webapp.oauth import grants

    agent, before = ada(behind), len(peer.seen("tools/call"))
    destroy(agent)
    confirm(behind)
    behind.house.database.write(lambda s: grants.revoke(s, agent.grant, "test", "test", behind.house.clock()))
    outcome = execution.run(behind.house, actions(behind)[0].id, behind.room.handed.executor, behind.room.handed.recheck)
    assert outcome.state == "void"
    assert len(peer.seen("tools/call")) == before


@sqlite
def test_withdrawing_what_already_ran_changes_nothing(behind: World) -> None:
    agent = ada(behind)
    destroy(agent)
    confirm(behind)
    destroy(agent)
    from webapp.gateway.eras import modern as era
    from webapp.gateway.wire import Message

    ask = era.Ask(_caller(agent), "peer", Message("tools/call", {}, 1), "modern", MODERN)
    outcomes.withdraw(behind.room, ask, actions(behind)[0].id, "late")
    assert actions(behind)[0].state == "done"


def _caller(agent: Agent) -> Any:
    from webapp.oauth.tokens import Caller

    return Caller(agent.person, "Ada", agent.client, "Test agent", False, agent.grant, "", ("mcp",))
