"""The short way that calls take gives what the app's own way gives, and lets nobody in whom that would not."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from mcp_types import jsonrpc

from tests.webapp.gateway.conftest import World
from webapp.gateway import wire
from webapp.gateway.front import Front

OWN = {"Content-Length", "Vary", "Date"}


def ways(world: World, monkeypatch: pytest.MonkeyPatch, ask: Any) -> tuple[Any, Any]:
    """The same request by the short way and by the app's own. The first of all asks for the cookies' key."""
    ask()
    assert world.app.secret_key is not None
    short = ask()
    with monkeypatch.context() as patched:
        patched.setattr(Front, "_plain", lambda *_: False)
        return short, ask()


@pytest.mark.parametrize("changed", [
    {}, {"Authorization": ""}, {"Authorization": "Bearer csa_" + "x" * 43}, {"Content-Type": "text/plain"},
    {"Accept": "text/html"}, {"Origin": "https://evil.example"}, {"Mcp-Name": "other"}, {"Host": "evil.example"},
    {"MCP-Protocol-Version": "1999-01-01"},
], ids=lambda changed: ",".join(changed) or "as it is")
def test_both_ways_answer_alike(world: World, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
    agent = world.agent()

    def ask() -> Any:
        return agent.call("add", {"a": 1, "b": 2}, headers=changed)

    short, own = ways(world, monkeypatch, ask)
    assert short.status == own.status
    assert {name: value for name, value in short.headers.items() if name not in OWN} == {
        name: value for name, value in own.headers.items() if name not in OWN
    }
    assert short.body == own.body


def test_codes_are_those_of_the_protocol() -> None:
    for ours in (
        "HEADER_MISMATCH", "INTERNAL_ERROR", "INVALID_PARAMS", "INVALID_REQUEST", "METHOD_NOT_FOUND", "PARSE_ERROR",
        "URL_ELICITATION_REQUIRED",
    ):
        assert getattr(wire, ours) == getattr(jsonrpc, ours)
    assert wire.MISSING_CAPABILITY == jsonrpc.MISSING_REQUIRED_CLIENT_CAPABILITY
    assert wire.UNSUPPORTED_VERSION == jsonrpc.UNSUPPORTED_PROTOCOL_VERSION


def test_a_starting_process_does_not_wait_for_the_protocols_models() -> None:
    asked = "import sys, webapp.wsgi; sys.exit('mcp_types' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
