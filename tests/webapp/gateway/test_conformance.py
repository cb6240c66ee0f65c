"""The official MCP conformance suite, as a client of the gateway as it is served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ended
from tests.webapp.gateway.conftest import World
from tests.webapp.gateway.live import served
from webapp.registry.rules import Approval

HERE = Path(__file__).parent
SUITE = HERE.parents[1] / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
PATIENCE = 120.0
TOOLS = (
    "test_simple_text", "test_image_content", "test_audio_content", "test_embedded_resource", "test_multiple_content_types",
    "test_error_handling", "json_schema_2020_12_tool",
)
SCENARIOS = (
    "server-initialize", "ping", "tools-list", "tools-call-simple-text", "tools-call-image", "tools-call-audio",
    "tools-call-embedded-resource", "tools-call-mixed-content", "tools-call-error", "json-schema-2020-12",
    "server-sse-multiple-streams",
)
"""Of the suite's 32 those on what a gateway for tools speaks. It offers no resources, prompts, completion or logging, asks an
agent for no sampling or form, passes on no progress but its own while it holds a call, and lets nobody in without a token, which
the suite's test of Host and Origin does not send."""

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def upstream() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(HERE / "conformance_server.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
    finally:
        ended(process)
        process.stdout.close()


def ran(scenario: str, url: str, token: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "CONFORMANCE_TOKEN": token, "NODE_OPTIONS": f"--import={(HERE / 'with_token.mjs').as_uri()}",
    }
    command = ["node", str(SUITE), "server", "--url", url, "--scenario", scenario, "--output-dir", str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.long
def test_the_gateway_passes_what_the_suite_has_on_tools(world: World, upstream: str, tmp_path: Path) -> None:
    """Long: each scenario is a process of Node.js of its own; together they need a quarter of a minute of processor time."""
    world.put(upstream, dict.fromkeys(TOOLS, Approval("read")), name="conformance")
    folder = tmp_path / "live"
    folder.mkdir()
    with served(world.house, folder) as url:
        world.browser("ada")
        token = world.agent("ada", "conformance", resource=url).token
        running = {name: ran(name, f"{url}/mcp/conformance", token, tmp_path / name) for name in SCENARIOS}
        for scenario, process in running.items():
            code = process.wait(PATIENCE)
            found = next((tmp_path / scenario).rglob("checks.json"))
            checks = {one["id"]: (one["status"], one.get("errorMessage")) for one in json.loads(found.read_text())}
            assert {status for status, _ in checks.values()} <= {"SUCCESS", "INFO"}, (scenario, checks)
            assert code == 0, scenario
            assert "SUCCESS" in {status for status, _ in checks.values()}, scenario
