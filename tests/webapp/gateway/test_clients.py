"""The official SDK's client, in both of its modes, against the gateway as it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client, MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, Request, RequestParams, Result

from tests.webapp.gateway.conftest import Agent, World
from tests.webapp.gateway.live import served
from tests.webapp.gateway.peers import Peer
from tests.webapp.gateway.test_holding import actions, confirm, confirm_when_held

pytestmark = pytest.mark.real
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def live(behind: World, tmp_path: Path) -> Iterator[World]:
    """The world, served by gunicorn in a process of its own."""
    folder = tmp_path / "live"
    folder.mkdir()
    with served(behind.house, folder, wait_leg="2", wait_legacy="2", ping_every="1") as url:
        behind.url = url
        yield behind


def agent(world: World) -> Agent:
    world.browser("ada")
    return world.agent("ada", resource=world.url)


def using(world: World, work: Callable[[Client], Awaitable[Any]], sent: list[str] | None = None, **options: Any) -> Any:
    """Connect as `agent`, do `work`, and return what it returned. `sent` gets the method of each request."""

    async def note(request: Any) -> None:
        if sent is not None:
            sent.append(request.headers.get("Mcp-Method", ""))

    async def main() -> Any:
        headers = {"Authorization": f"Bearer {agent(world).token}"}
        async with create_mcp_http_client(headers=headers) as http:
            http.event_hooks = {**http.event_hooks, "request": [*http.event_hooks["request"], note]}
            transport = streamable_http_client(f"{world.url}/mcp/peer", http_client=http)
            async with Client(transport, **options) as client:
                return await work(client)

    return asyncio.run(main())


@sqlite
@pytest.mark.parametrize("mode", ["auto", "2026-07-28", "legacy"])
def test_the_sdk_lists_and_calls(live: World, mode: str) -> None:
    async def work(client: Client) -> tuple[set[str], Any, Any]:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        routed = await client.call_tool("routed", {"region": "zürich"})
        return tools, await client.call_tool("add", {"a": 1, "b": 2}), routed

    tools, added, routed = using(live, work, mode=mode)
    assert "destroy_all" in tools
    assert added.structured_content == {"result": 3}
    assert routed.content[0].text == "zürich"


@sqlite
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_sdk_is_told_what_is_not_there(live: World, mode: str) -> None:
    async def work(client: Client) -> MCPError:
        with pytest.raises(MCPError) as caught:
            await client.list_resources()
        return caught.value

    assert using(live, work, mode=mode).code == -32601


def test_the_sdk_waits_through_its_rounds_and_gets_the_outcome(live: World, peer: Peer) -> None:
    """State alone: the SDK goes on by itself, leg after leg, in another process than the one where the person decides."""
    before, sent = len(peer.seen("tools/call")), list[str]()
    confirming = confirm_when_held(live, also=lambda: sent.count("tools/call") > 1)
    result = using(live, lambda client: client.call_tool("destroy_all", {"what": "x"}), sent, mode="auto")
    confirming.join()
    assert result.content[0].text == "destroyed x"
    assert len(peer.seen("tools/call")) == before + 1
    assert actions(live)[0].delivered_at is not None


@sqlite
def test_the_sdk_shows_the_link_and_gets_the_outcome(live: World) -> None:
    shown: list[str] = []

    async def elicited(context: Any, params: ElicitRequestParams) -> ElicitResult:
        shown.append(getattr(params, "url", ""))
        await asyncio.to_thread(confirm, live)
        return ElicitResult(action="accept")

    result = using(live, lambda client: client.call_tool("destroy_all", {"what": "x"}), elicitation_callback=elicited)
    assert shown == [f"{live.url}/actions/{actions(live)[0].id}"]
    assert result.content[0].text == "destroyed x"


@sqlite
def test_a_legacy_sdk_client_sees_progress_and_calls_again(live: World) -> None:
    seen: list[str] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    async def work(client: Client) -> tuple[Any, Any]:
        first = await client.call_tool("destroy_all", {"what": "x"}, progress_callback=progressed)
        await asyncio.to_thread(confirm, live)
        return first, await client.call_tool("destroy_all", {"what": "x"})

    first, second = using(live, work, mode="legacy")
    assert first.is_error
    assert "identical arguments" in first.content[0].text
    assert all("/actions/" in message for message in seen)
    assert seen
    assert second.content[0].text == "destroyed x"


class TaskId(RequestParams):
    task_id: str


class GetTask(Request[TaskId, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskId
    name_param = "taskId"


class Task(Result):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str


class Polled(Result):
    status: str
    result: dict[str, Any] | None = None


class Tasks(ClientExtension):
    """A client of the tasks extension, as its specification describes one."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, world: World) -> None:
        self.world = world

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=self.resolve)]

    async def resolve(self, task: Task, context: ClaimContext) -> CallToolResult:
        await asyncio.to_thread(confirm, self.world)
        from tests.webapp.gateway.test_holding import work

        await asyncio.to_thread(work, self.world)
        while True:
            found = await context.session.send_request(GetTask(params=TaskId(task_id=task.task_id)), Polled)
            if found.status == "completed":
                return CallToolResult.model_validate(found.result)
            await asyncio.sleep(0.2)


@sqlite
def test_an_sdk_client_with_the_tasks_extension_polls(live: World) -> None:
    result = using(live, lambda client: client.call_tool("destroy_all", {"what": "x"}), extensions=[Tasks(live)])
    assert result.content[0].text == "destroyed x"


@sqlite
def test_an_agent_that_hangs_up_takes_its_call_back(live: World) -> None:
    async def work(client: Client) -> None:
        calling = asyncio.create_task(client.call_tool("destroy_all", {"what": "x"}))
        await asyncio.to_thread(live.until, lambda: bool(actions(live)))
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

    using(live, work)
    live.until(lambda: actions(live)[0].state == "withdrawn")
