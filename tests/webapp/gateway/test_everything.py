"""The reference server of the protocol's authors behind the gateway."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ended, free_port
from tests.webapp.gateway.conftest import World
from webapp.registry.rules import Approval

INDEX = Path(__file__).parents[2] / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
TOOLS = ("echo", "get-sum", "get-tiny-image", "get-structured-content")

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def everything() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        ["node", str(INDEX), "streamableHttp"], env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 90
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/mcp"
    ended(process)


def test_its_tools_are_listed_and_called_in_both_eras(one: World, everything: str) -> None:
    one.put(everything, dict.fromkeys(TOOLS, Approval("read")), name="everything")
    agent = one.agent("ada", "everything")
    assert {tool["name"] for tool in agent.modern("tools/list").result["tools"]} == set(TOOLS)
    assert agent.call("get-sum", {"a": 1, "b": 2}).text == "The sum of 1 and 2 is 3."
    assert agent.call("get-tiny-image", {}).result["content"][1]["type"] == "image"
    agent.initialize()
    answer = agent.legacy("tools/call", {"name": "echo", "arguments": {"message": "hi"}})
    assert answer.text == "Echo: hi"


def test_a_tool_that_was_not_approved_is_not_there(one: World, everything: str) -> None:
    one.put(everything, {"echo": Approval("read")}, name="everything")
    assert one.agent("ada", "everything").call("get-env", {}).error["data"]["code"] == "not_approved"
