"""MCP 2025-03-26 to 2025-11-25 through the gateway: sessions, and results without what those versions do not know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from mcp_types import methods
from sqlalchemy import func, select

from tests.webapp.gateway.conftest import World
from tests.webapp.gateway.peers import RawServer, http_answer, modern, rpc
from webapp.gateway.eras import legacy
from webapp.gateway.jobs import jobs
from webapp.gateway.tables import McpSession
from webapp.registry.rules import Approval

pytestmark = pytest.mark.real

LISTED = {"name": "t", "description": "d", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_session_is_opened_used_and_ended(one: World, version: str) -> None:
    agent = one.agent()
    opened = agent.initialize(version)
    assert opened.result["protocolVersion"] == version
    methods.validate_server_result("initialize", version, opened.result)
    assert agent.legacy("ping").result == {}
    listed = agent.legacy("tools/list", headers={"MCP-Protocol-Version": version}).result
    methods.validate_server_result("tools/list", version, listed)
    assert "ttlMs" not in listed
    called = agent.legacy("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    methods.validate_server_result("tools/call", version, called.result)
    assert called.result["structuredContent"] == {"result": 3}
    assert "resultType" not in called.result
    client = one.app.test_client()
    headers = {"Authorization": f"Bearer {agent.token}", "Mcp-Session-Id": agent.session or ""}
    assert client.delete("/mcp/peer", headers=headers, base_url=one.house.settings.public_url).status_code == 204
    assert agent.legacy("ping").status == 404


@pytest.mark.parametrize("version", ["2024-11-05", "2099-01-01", "latest"])
def test_a_version_that_is_not_spoken_is_answered_with_the_newest(one: World, version: str) -> None:
    assert one.agent().initialize(version).result["protocolVersion"] == "2025-11-25"


def test_without_a_session_there_is_nothing(one: World) -> None:
    agent = one.agent()
    assert agent.legacy("tools/list").status == 400
    agent.session = "mcp_" + "0" * 26
    assert agent.legacy("tools/list").status == 404


def test_a_session_is_of_one_grant_and_one_server(one: World) -> None:
    """A session id authenticates nobody: another's looks like none."""
    ada, bob = one.agent("ada"), one.agent("bob")
    ada.initialize()
    bob.session = ada.session
    assert bob.legacy("tools/list").status == 404
    assert ada.legacy("tools/list").status == 200


def test_a_session_keeps_the_version_it_settled(one: World) -> None:
    agent = one.agent()
    agent.initialize("2025-06-18")
    assert agent.legacy("ping", headers={"MCP-Protocol-Version": "2025-11-25"}).status == 200
    assert agent.legacy("ping", headers={"MCP-Protocol-Version": "2024-11-05"}).status == 400


@pytest.mark.parametrize("params", [{}, {"protocolVersion": "2025-11-25"}, {"protocolVersion": 7, "capabilities": {}}])
def test_an_initialize_must_say_what_it_needs(one: World, params: dict[str, Any]) -> None:
    assert one.agent().legacy("initialize", params).error["code"] == -32602


@pytest.mark.parametrize("method", ["resources/list", "prompts/list", "tasks/get", "server/discover", "logging/setLevel"])
def test_other_methods_are_not_found(one: World, method: str) -> None:
    agent = one.agent()
    agent.initialize()
    answer = agent.legacy(method)
    assert (answer.status, answer.error["code"]) == (200, -32601)


def test_a_notification_is_accepted(one: World) -> None:
    agent = one.agent()
    agent.initialize()
    body = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert agent.post(body, {"Mcp-Session-Id": agent.session or ""}).status == 202


def test_a_listener_is_told_that_there_is_nothing_to_hear(one: World) -> None:
    agent = one.agent()
    agent.initialize()
    headers = {"Authorization": f"Bearer {agent.token}", "Mcp-Session-Id": agent.session or "", "Accept": "text/event-stream"}
    client = one.app.test_client()
    answer = client.get("/mcp/peer", headers=headers, base_url=one.house.settings.public_url)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, DELETE")


def test_a_client_that_initializes_without_end_pushes_out_only_its_own(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "PER_GRANT", 3)
    ada, bob = one.agent("ada"), one.agent("bob")
    bob.initialize()
    first = ada.initialize().headers["Mcp-Session-Id"]
    for _ in range(3):
        one.house.clock.forward(seconds=1)  # type: ignore[attr-defined]
        ada.initialize()
    with one.house.database.read() as session:
        count = session.scalar(select(func.count()).select_from(McpSession).where(McpSession.grant_id == ada.grant))
    assert count == 3
    assert bob.legacy("ping").status == 200
    ada.session = first
    assert ada.legacy("ping").status == 404


def test_a_session_that_nobody_uses_ends(behind: World) -> None:
    agent = behind.agent()
    agent.initialize()
    clock = behind.house.clock
    clock.forward(hours=23)  # type: ignore[attr-defined]
    agent.token = behind.agent().token
    assert agent.legacy("ping").status == 200
    clock.forward(hours=23)  # type: ignore[attr-defined]
    assert agent.legacy("ping").status == 200
    assert jobs["gateway.sessions"](behind.house, None) == clock() + timedelta(days=1)  # type: ignore[arg-type]
    clock.forward(hours=25)  # type: ignore[attr-defined]
    assert agent.legacy("ping").status == 404
    assert jobs["gateway.sessions"](behind.house, None) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("structured", "told"), [([1, 2], None), ({"a": 1}, {"a": 1}), ("x", None)])
def test_what_an_older_client_could_not_read_is_left_out(
    one: World, raw: Callable[..., RawServer], structured: Any, told: Any
) -> None:
    result = {"resultType": "complete", "content": [{"type": "text", "text": "t"}], "structuredContent": structured}

    def answer(message: dict[str, Any]) -> bytes:
        if message["method"] == "tools/list":
            return http_answer(rpc(message, {"resultType": "complete", "tools": [LISTED], "ttlMs": 0, "cacheScope": "private"}))
        return http_answer(rpc(message, result))

    server = raw(modern(answer))
    one.put(server.url, {"t": Approval("read")}, name="newer")
    agent = one.agent("ada", "newer")
    assert agent.call("t", {}).result["structuredContent"] == structured
    agent.initialize()
    assert agent.legacy("tools/call", {"name": "t", "arguments": {}}).result.get("structuredContent") == told
