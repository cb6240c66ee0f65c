"""People and agents of a production-like house, over HTTP. Every address of theirs is `public_url`; which web process answers is
chosen by port, as a load balancer would."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import httpx2
import requests
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp_types import CallToolResult
from pydantic import AnyUrl

from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL
from tests.oidc_provider import Provider
from webapp.people.sign_in import CALLBACK

T = TypeVar("T")
FIELD = re.compile(r'type="hidden" name="([^"]+)" value="([^"]*)"')
ONWARD = re.compile(r'http-equiv="refresh" content="0;url=([^"]+)"')
OPTIONS = re.compile(r'data-options="([^"]+)"')
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
TIMEOUT = 60


@dataclass
class Visitor:
    """A browser of one person's. `port` says which web process it reaches, and may be changed."""

    port: int
    passkey: Passkey = field(default_factory=Passkey)
    session: requests.Session = field(default_factory=requests.Session)
    person: str = ""

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Host": urlsplit(PUBLIC_URL).netloc, "Accept": "text/html", **more.pop("headers", {})}
        url = f"http://localhost:{self.port}{path.removeprefix(PUBLIC_URL)}"
        return self.session.request(method, url, headers=headers, allow_redirects=False, timeout=TIMEOUT, **more)

    def get(self, path: str) -> requests.Response:
        return self.ask("GET", path)

    def send(self, path: str, **fields: Any) -> requests.Response:
        """POST a form as a page of ours would."""
        token = hidden(self.get("/sign-in"), "csrf_token")
        return self.ask("POST", path, data={"csrf_token": token, **fields}, headers={"Origin": PUBLIC_URL})

    def sign_in(self, sso: Provider, name: str) -> None:
        """At the identity provider, then the second step, for which a passkey is enrolled."""
        page = self.send("/sign-in/start")
        found = ONWARD.search(page.text)
        assert found, page.text
        answer = sso.consent(unescape(found.group(1)), login_hint=name)
        came = self.get(f"{CALLBACK}?{urlencode(answer)}")
        assert came.status_code == 303, came.text
        page = self.get("/you/factors/passkey")
        attestation = self.passkey.create(options(page), origin=PUBLIC_URL)
        done = self.send(
            "/you/factors/passkey", name="Key", sealed=hidden(page, "sealed"), attestation=json.dumps(attestation)
        )
        assert done.status_code == 303, done.text

    def decide(self, action: str) -> requests.Response:
        """Open the page, and give the word that it asks for, by passkey."""
        return self.give(action, self.get(f"/actions/{action}"))

    def give(self, action: str, page: requests.Response, **otherwise: str) -> requests.Response:
        """Answer a page that was opened before."""
        assertion = json.dumps(self.passkey.get(options(page), origin=PUBLIC_URL))
        own = {name: hidden(page, name) for name in ("csrf_token", "shown", "sealed")}
        fields = {**own, "assertion": assertion, **otherwise}
        return self.ask("POST", f"/actions/{action}/decide", data=fields, headers={"Origin": PUBLIC_URL})

    def connect(self, provider: Provider, name: str, scopes: list[str], account: str) -> str:
        """Connect an account through the pages; the connection's id."""
        done = self.back_from(provider, self.begin(name, scopes), account)
        assert done.status_code == 303, done.text
        found = re.findall(r'id="(con_[0-9a-z]+)"', self.get("/connections").text)
        return str(found[-1])

    def begin(self, name: str, scopes: list[str]) -> str:
        """Press "Continue": the address at the provider."""
        sent = self.send("/connections/new", provider=name, scope=scopes)
        assert sent.status_code == 303, sent.text
        return sent.headers["Location"]

    def back_from(self, provider: Provider, url: str, account: str) -> requests.Response:
        return self.get(f"/connections/callback?{urlencode(provider.consent(url, login_hint=account))}")

    def allow(self, url: str) -> str:
        """Read an agent's authorization request and press Allow: where the browser is sent with the answer."""
        page = self.get(url)
        assert page.status_code == 200, page.text
        form = {name: unescape(value) for name, value in FIELD.findall(page.text)} | {"decision": "allow"}
        sent = self.ask("POST", urlsplit(url).path, data=form, headers={"Origin": PUBLIC_URL})
        found = sent.headers.get("Location") or unescape(next(iter(ONWARD.findall(sent.text)), ""))
        assert found, sent.text
        return found


def hidden(page: requests.Response, name: str) -> str:
    """The value of a hidden field of a page."""
    for found, value in FIELD.findall(page.text):
        if found == name:
            return unescape(value)
    raise AssertionError(f"{name} is not on the page: {page.status_code} {page.text[:2000]}")


def options(page: requests.Response) -> dict[str, Any]:
    """The WebAuthn options that a page's form carries."""
    found = OPTIONS.search(page.text)
    assert found, f"no options on the page: {page.status_code} {page.text[:3000]}"
    made: dict[str, Any] = json.loads(unescape(found.group(1)))
    return made


class Memory:
    """The SDK's token storage."""

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


class Balancer(httpx2.AsyncHTTPTransport):
    """Sends what is for `public_url` to the web process at `port`; the Host header stays."""

    def __init__(self, port: Callable[[], int]) -> None:
        super().__init__()
        self.port = port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.netloc == urlsplit(PUBLIC_URL).netloc.encode():
            request.url = request.url.copy_with(port=self.port())
        return await super().handle_async_request(request)


@dataclass
class Agent:
    """An agent of one person's at one server: the `mcp` SDK's client, which registers and asks for consent by itself. Its plain
    calls (`post`) use the SDK's token, for what an SDK would never send."""

    owner: Visitor
    server: str
    port: int
    memory: Memory = field(default_factory=Memory)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    @property
    def url(self) -> str:
        return f"{PUBLIC_URL}/mcp/{self.server}"

    @property
    def token(self) -> str:
        assert self.memory.tokens, "the agent was not connected yet"
        return self.memory.tokens.access_token

    def connect(self) -> list[str]:
        """Connect as the SDK does; the names of the tools it may see."""
        return anyio.run(self._list)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        return anyio.run(self._call, tool, dict(arguments))

    def begin(self, tool: str, arguments: Mapping[str, Any]) -> Future[CallToolResult]:
        """The same in a thread: a held call waits for people."""
        return self.aside(lambda: self.call(tool, arguments))

    def aside(self, work: Callable[[], T]) -> Future[T]:
        """In a thread of the agent's own, where the SDK may have its loop."""
        return self._pool.submit(work)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        async with httpx2.AsyncClient(**self._options()) as http, self._client(http) as client:
            return await client.call_tool(tool, arguments, read_timeout_seconds=TIMEOUT)

    async def _list(self) -> list[str]:
        async with httpx2.AsyncClient(**self._options()) as http, self._client(http) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    def _options(self) -> dict[str, Any]:
        return {"auth": self._provider(), "transport": Balancer(lambda: self.port), "timeout": httpx2.Timeout(10, read=TIMEOUT)}

    def _client(self, http: httpx2.AsyncClient) -> Client:
        return Client(streamable_http_client(self.url, http_client=http), read_timeout_seconds=TIMEOUT)

    def _provider(self) -> OAuthClientProvider:
        sent: list[str] = []

        async def opened(url: str) -> None:
            sent.append(await anyio.to_thread.run_sync(self.owner.allow, url))

        async def came_back() -> AuthorizationCodeResult:
            answer = {name: values[0] for name, values in parse_qs(urlsplit(sent[-1]).query).items()}
            return AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=answer["iss"])

        metadata = OAuthClientMetadata(client_name="Test agent", redirect_uris=[AnyUrl("http://localhost:3119/callback")])
        return OAuthClientProvider(self.url, metadata, self.memory, opened, came_back)

    def ask(self, method: str, params: Mapping[str, Any], *, tasks: bool = False) -> dict[str, Any]:
        """One request of 2026-07-28: what came back, parsed."""
        answer = self.post(method, params, tasks=tasks)
        found: dict[str, Any] = answer.json()
        return found

    def post(self, method: str, params: Mapping[str, Any], *, tasks: bool = False, **headers: str) -> requests.Response:
        capabilities = {"extensions": {f"{META}tasks": {}}} if tasks else {}
        meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": capabilities}
        name = params.get("taskId") or params.get("name")
        body = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": {**params, "_meta": meta}}
        sent = {
            "Host": urlsplit(PUBLIC_URL).netloc, "Authorization": f"Bearer {self.token}", "MCP-Protocol-Version": MODERN,
            "Accept": "application/json, text/event-stream", "Mcp-Method": method,
            **({"Mcp-Name": name} if name else {}), **headers,
        }
        return requests.post(f"http://localhost:{self.port}/mcp/{self.server}", json=body, headers=sent, timeout=TIMEOUT)

    def task(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Call as a task, which is held: the action's id."""
        found = self.ask("tools/call", {"name": tool, "arguments": arguments}, tasks=True)
        assert found.get("result", {}).get("resultType") == "task", found
        return str(found["result"]["taskId"])

    def fetch(self, task: str) -> dict[str, Any]:
        """Where the task stands, and its result."""
        found = self.ask("tasks/get", {"taskId": task}, tasks=True)
        assert "result" in found, found
        result: dict[str, Any] = found["result"]
        return result
