"""A house in production: PostgreSQL, OpenBao, SSO, an account provider that rotates, two web processes and two workers, and npm's
reference MCP server behind the gateway, called by the `mcp` SDK's client. Persons use one web process, agents another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import wait

import pytest
from mcp_types import CallToolResult
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser_parts import go
from tests.keeper_parts import PUBLIC_URL, until
from tests.real.browsing import Browsing, Clicking, browsing
from tests.real.forwarder import Forwarder, forward
from tests.real.running import PATIENCE
from tests.real.standing import LEDGER, PAY, READ, Standing, everything
from tests.real.visitor import Agent
from webapp import rotating
from webapp.connections import idle
from webapp.db.due import Due

pytestmark = pytest.mark.real

TOOLS = {
    "echo": ["--class", "read", "--provider", LEDGER, "--scope", READ],
    "get-sum": ["--class", "write", "--provider", LEDGER, "--scope", PAY],
    "get-tiny-image": ["--class", "destroy"],
}


@pytest.fixture(scope="module")
def peer(standing_session: Standing) -> Iterator[Forwarder]:
    """The reference server, registered and approved on the command line; Ada's account is connected."""
    with everything() as address, forward(address) as forwarder:
        standing_session.add_server("everything", forwarder.url, TOOLS)
        standing_session.visitor("ada").connect(standing_session.accounts, LEDGER, [READ, PAY], "ada")
        yield forwarder


def test_an_agent_that_knows_one_address_connects_and_sees_what_was_approved(stand: Standing, peer: Forwarder) -> None:
    assert sorted(stand.agent("ada", "everything").connect()) == sorted(TOOLS)


def test_an_allowed_call_is_answered_with_a_token_of_the_account_and_not_the_agents(stand: Standing, peer: Forwarder) -> None:
    agent = stand.agent("ada", "everything")
    for port in stand.ports:
        agent.port = port
        assert "Echo: hello" in words(agent.call("echo", {"message": "hello"}))
    sent = [one["headers"]["Authorization"].removeprefix("Bearer ") for one in peer.calls("echo")]
    assert agent.token not in sent
    for token in sent:
        told = stand.accounts.introspect(token)
        assert told["active"]
        assert PAY not in told["scope"].split()


def test_what_is_held_through_one_web_process_is_approved_through_the_other_and_runs_once(
    stand: Standing, peer: Forwarder
) -> None:
    """The agent waits at the first web process, on the SDK's own legs. Its owner, at the second, sees it and cannot give it;
    somebody from ops, at the second, approves it. What was sent is what was shown."""
    agent, ada, jonas = stand.agent("ada", "everything"), stand.visitor("ada"), stand.visitor("jonas")
    agent.port, ada.port, jonas.port = stand.ports[0], stand.ports[1], stand.ports[1]
    before, sent_before = stand.held("everything"), len(peer.calls("get-sum"))
    waiting = agent.begin("get-sum", {"a": 2, "b": 40})
    action = stand.next_held("everything", before)
    shown = ada.get(f"/actions/{action}")
    assert "You cannot approve this" in shown.text
    assert "data-passkey" not in shown.text
    approved = jonas.decide(action)
    assert approved.status_code == 303, approved.text
    assert "42" in words(waiting.result(PATIENCE))
    [sent] = peer.calls("get-sum")[sent_before:]
    assert sent["json"]["params"]["arguments"] == {"a": 2, "b": 40}
    assert sent["headers"]["Authorization"] != f"Bearer {agent.token}"
    assert stand.becomes(action, "done") == "done"
    assert stand.entries(action)[:4] == ["action.held", "action.decided", "action.approved", "action.executing"]


def test_identical_calls_through_both_web_processes_are_one_action_and_run_once(stand: Standing, peer: Forwarder) -> None:
    agent, jonas, before = stand.agent("ada", "everything"), stand.visitor("jonas"), len(peer.calls("get-sum"))
    waiting, held = [], stand.held("everything")
    for number in range(4):
        agent.port = stand.ports[number % 2]
        waiting.append(agent.begin("get-sum", {"a": 20, "b": 1}))
    action = stand.next_held("everything", held)
    assert jonas.decide(action).status_code == 303
    wait(waiting, PATIENCE)
    assert all("21" in words(one.result(0)) for one in waiting)
    assert len(peer.calls("get-sum")) == before + 1


def test_an_approved_task_is_run_by_one_of_two_workers_once(stand: Standing, peer: Forwarder) -> None:
    agent, jonas, before = stand.agent("ada", "everything"), stand.visitor("jonas"), len(peer.calls("get-sum"))
    task = agent.task("get-sum", {"a": 30, "b": 3})
    assert jonas.decide(task).status_code == 303
    stand.becomes(task, "done")
    assert len(peer.calls("get-sum")) == before + 1
    agent.port = stand.ports[1]
    assert "33" in str(agent.fetch(task)["result"])


def test_each_execution_gets_a_token_of_its_own_and_the_account_survives_every_rotation(
    stand: Standing, peer: Forwarder
) -> None:
    agent, jonas = stand.agent("ada", "everything"), stand.visitor("jonas")
    for number in range(3):
        task = agent.task("get-sum", {"a": 100, "b": number})
        assert jonas.decide(task).status_code == 303
        stand.becomes(task, "done")
    tokens = [one["headers"]["Authorization"] for one in peer.calls("get-sum")]
    assert len(set(tokens)) == len(tokens)
    assert "Healthy" in stand.visitor("ada").get("/connections").text


def test_the_owner_confirms_through_the_other_process(stand: Standing, peer: Forwarder) -> None:
    """A tool without an account, of a class that its owner confirms."""
    agent, ada, mira = stand.agent("ada", "everything"), stand.visitor("ada"), stand.visitor("mira")
    agent.port, ada.port = stand.ports
    before, sent = stand.held("everything"), len(peer.calls("get-tiny-image"))
    waiting = agent.begin("get-tiny-image", {})
    action = stand.next_held("everything", before)
    assert mira.get(f"/actions/{action}").status_code == 404, "a colleague does not even learn that it is there"
    assert ada.decide(action).status_code == 303
    assert any(part.type == "image" for part in waiting.result(PATIENCE).content)
    assert len(peer.calls("get-tiny-image")) == sent + 1


def test_the_ten_steps_in_a_browser_with_sso_and_the_reference_server(stand: Standing, peer: Forwarder) -> None:
    """Chromium at the second web process, the agent at the first; nobody is told to whom the pages answer."""
    with browsing(stand, stand.ports[1]) as people:
        alice = people.enter("alice")
        people.connect(alice, "Ledger House", "See the books", "Pay from the books")
        agent = Agent(Clicking(stand.ports[1]), "everything", stand.ports[0])
        assert sorted(people.let_in(alice, agent)) == sorted(TOOLS)
        assert "Echo: hello" in words(agent.begin("echo", {"message": "hello"}).result(PATIENCE))
        _confirmed(stand, people, alice, agent)
        olga = people.enter("olga")
        people.a_day_later("olga")
        _approved_and_rejected(stand, people, alice, olga, agent)
        _disconnected(stand, alice, agent)
        assert people.complaints == []


def _confirmed(stand: Standing, people: Browsing, alice: Page, agent: Agent) -> None:
    before = stand.held("everything")
    waiting = agent.begin("get-tiny-image", {})
    people.decide(alice, stand.next_held("everything", before), "Confirm this")
    assert any(part.type == "image" for part in waiting.result(PATIENCE).content)


def _approved_and_rejected(stand: Standing, people: Browsing, alice: Page, olga: Page, agent: Agent) -> None:
    before = stand.held("everything")
    waiting = agent.begin("get-sum", {"a": 40, "b": 8})
    action = stand.next_held("everything", before)
    go(alice, f"/actions/{action}")
    expect(alice.get_by_text("You cannot approve this")).to_be_visible()
    expect(alice.get_by_role("button", name="Approve this")).to_have_count(0)
    people.decide(olga, action, "Approve this")
    assert "48" in words(waiting.result(PATIENCE))
    waiting = agent.begin("get-sum", {"a": 41, "b": 8})
    go(olga, f"/actions/{stand.next_held('everything', before)}")
    olga.get_by_text("Reject…").click()
    olga.get_by_label("Why not?").fill("Not this month.")
    with olga.expect_navigation():
        olga.get_by_role("button", name="Reject it").click()
    refused = waiting.result(PATIENCE)
    assert refused.is_error
    assert "Not this month." in str(refused.content)


def _disconnected(stand: Standing, alice: Page, agent: Agent) -> None:
    go(alice, "/connections")
    alice.get_by_text("Disconnect…").click()
    alice.get_by_role("button", name="Disconnect Ledger House").click()
    expect(alice.locator("main")).to_contain_text("Nothing here can use it any more.")
    told = agent.begin("echo", {"message": "still there?"}).result(PATIENCE)
    assert told.is_error
    assert "No Ledger House account is connected." in str(told.content)


def test_what_happens_by_itself_was_planned_by_the_workers(stand: Standing, peer: Forwarder) -> None:
    """`counterseal worker` plans it; nobody asked for it."""
    wanted = {*((rotating.KIND, key) for key in rotating.KEYS), (idle.LOOK, "all")}

    def planned() -> bool:
        with stand.engine.connect() as on:
            return wanted <= {(row.kind, row.key) for row in on.execute(select(Due.kind, Due.key))}

    until(planned, "it is planned")


def test_the_log_holds(stand: Standing, peer: Forwarder) -> None:
    assert stand.command("audit", "verify").startswith("The log holds: ")


def test_the_agents_address_is_the_public_one(stand: Standing, peer: Forwarder) -> None:
    """Which process answered is nobody's business: no answer names its port."""
    agent = stand.agent("ada", "everything")
    agent.port = stand.ports[1]
    answer = agent.post("tools/list", {}, Authorization="Bearer nothing")
    assert answer.status_code == 401
    assert PUBLIC_URL in answer.headers["WWW-Authenticate"]
    assert str(stand.ports[1]) not in answer.headers["WWW-Authenticate"]


def words(result: CallToolResult) -> str:
    assert not result.is_error, result.content
    return " ".join(getattr(part, "text", "") for part in result.content)
