"""The official Python and TypeScript MCP clients connect unaided to a real server: they are given one address."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
import requests
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.webapp.oauth.conftest import ALICE, ROOT

TYPESCRIPT = ROOT / "tests" / "node_modules" / "@modelcontextprotocol" / "sdk"
REDIRECT = "http://localhost:3119/callback"
FIELD = re.compile(r'type="hidden" name="([^"]+)" value="([^"]*)"')


def person_allows(authorization_url: str) -> str:
    """The person's browser: reads the page, presses Allow; where it is sent."""
    with requests.Session() as browser:
        browser.headers["X-Test-Person"] = ALICE.person
        page = browser.get(authorization_url, timeout=60)
        assert page.status_code == 200, page.text
        form = {name: unescape(value) for name, value in FIELD.findall(page.text)} | {"decision": "allow"}
        sent = browser.post(authorization_url.partition("?")[0], data=form, allow_redirects=False, timeout=60)
    assert sent.status_code == 303, sent.text
    return sent.headers["Location"]


class Memory:
    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def python_provider(address: str, memory: Memory, issuer: str | None = None) -> OAuthClientProvider:
    """The SDK's own flow. `issuer` is what a mix-up attacker puts in place of ours."""
    sent: list[str] = []

    async def opened(url: str) -> None:
        sent.append(await anyio.to_thread.run_sync(person_allows, url))

    async def came_back() -> AuthorizationCodeResult:
        answer = {name: values[0] for name, values in parse_qs(urlsplit(sent[-1]).query).items()}
        return AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=issuer or answer["iss"])

    metadata = OAuthClientMetadata(client_name="Python agent", redirect_uris=[AnyUrl(REDIRECT)])
    return OAuthClientProvider(f"{address}/mcp/bank", metadata, memory, opened, came_back)


async def python_connects(address: str, provider: OAuthClientProvider) -> str:
    async with (
        httpx2.AsyncClient(auth=provider) as http,
        streamable_http_client(f"{address}/mcp/bank", http_client=http) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        return (await session.initialize()).server_info.name


def test_the_python_sdk_connects_and_refreshes(address: str) -> None:
    memory = Memory()

    async def run() -> None:
        assert await python_connects(address, python_provider(address, memory)) == "bank for Alice by Python agent"
        first = memory.tokens
        assert first is not None
        provider = python_provider(address, memory)
        await provider._initialize()
        provider.context.token_expiry_time = 1.0
        async with httpx2.AsyncClient(auth=provider) as http:
            answer = await http.post(f"{address}/mcp/bank", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert answer.status_code == 200
        assert memory.tokens is not None
        assert memory.tokens.refresh_token != first.refresh_token

    anyio.run(run)


def test_the_python_sdk_notices_a_mix_up(address: str) -> None:
    """RFC 9207: the client refuses an answer that names another issuer, because our metadata says that ours always does."""
    provider = python_provider(address, Memory(), issuer="https://honest-but-other.example")

    async def run() -> None:
        async with httpx2.AsyncClient(auth=provider) as http:
            await http.post(f"{address}/mcp/bank", json={})

    with pytest.raises(Exception, match="iss mismatch"):
        anyio.run(run)


@pytest.mark.real
def test_the_typescript_sdk_connects_and_refreshes(address: str) -> None:
    node = shutil.which("node")
    assert node, "the tests need Node.js"
    assert TYPESCRIPT.is_dir(), "run npm install in tests/ (make test does)"
    with subprocess.Popen(
        [node, Path(__file__).with_name("sdk_client.mjs"), f"{address}/mcp/bank", REDIRECT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as client:
        assert client.stdin
        assert client.stdout
        told: list[tuple[str, object]] = []
        for line in client.stdout:
            said = json.loads(line)
            if said["kind"] == "open":
                client.stdin.write(person_allows(said["value"]) + "\n")
                client.stdin.flush()
            else:
                told.append((said["kind"], said["value"]))
    name = "bank for Alice by TypeScript agent"
    assert told == [("connected", name), ("connected", name), ("refreshed", True)]
