"""Ledger Desk, the demonstration agent: a real MCP client on the official SDK, in a process of its own.

`python -m webapp.evaluation.agent PUBLIC_URL` reads scenarios as JSON lines from its standard input and writes what happens as
JSON lines to its standard output. It knows nothing of this instance but its address: it finds the authorization server,
registers and asks for consent as any agent would. Its tokens live in memory, as long as it does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client._input_required import InputRequiredRoundsExceededError
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.session import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitRequestParams, ElicitRequestURLParams, ElicitResult, Implementation, TextContent
from pydantic import AnyUrl

from vault.said import Said, said
from webapp.evaluation import steps
from webapp.evaluation.callback import Callback, ConsentRefused
from webapp.evaluation.scenarios import SCENARIOS, Scenario

NAME = "Ledger Desk"
PATIENCE = 600
"""Seconds to wait for one answer: a held call waits for a person."""
AGAIN = 400
"""How often a call that is still held is asked for again."""
TROUBLE = (MCPError, OAuthFlowError, ConsentRefused, InputRequiredRoundsExceededError, httpx2.HTTPError, TimeoutError)


def emit(kind: str, text: str, url: str = "") -> None:
    """One line for whoever started this process."""
    print(steps.line(kind, text, url), flush=True)


class Memory:
    """The SDK's token storage, for as long as this process lives."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


class Desk:
    """The agent: one provider of tokens and one callback address for its whole life."""

    def __init__(self, public_url: str, callback: Callback) -> None:
        self._url = f"{public_url}/mcp/bank"
        self._callback = callback
        self._shown = ""
        metadata = OAuthClientMetadata(
            client_name=NAME, redirect_uris=[AnyUrl(callback.url)], grant_types=["authorization_code", "refresh_token"],
            response_types=["code"], token_endpoint_auth_method="none",  # noqa: S106 a method's name (RFC 7591 section 2)
        )
        self._auth = OAuthClientProvider(self._url, metadata, Memory(), self._consent, self._consented)

    async def _consent(self, url: str) -> None:
        self._callback.expect(parse_qs(urlsplit(url).query)["state"][0])
        emit("consent", said("Ledger Desk may not use the bank yet. It asks you to let it connect."), url)

    async def _consented(self) -> AuthorizationCodeResult:
        code, state, iss = await self._callback.arrived()
        return AuthorizationCodeResult(code=code, state=state, iss=iss)

    async def _held(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """The gateway asks to have a link opened. Accepting says that it was passed on, and approves nothing."""
        if not isinstance(params, ElicitRequestURLParams):
            return ElicitResult(action="decline")
        self._show_held(params.message, params.url)
        return ElicitResult(action="accept")

    def _show_held(self, message: str, url: str) -> None:
        if url != self._shown:
            self._shown = url
            kind = "account" if urlsplit(url).path.startswith("/connections") else "held"
            emit(kind, message.replace(url, "").rstrip(" :.") + ".", url)

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        if message and not self._shown:
            self._show_held(message, _link(message))

    async def run(self, scenario: Scenario) -> None:
        """One scenario from connecting to the end; what goes wrong is told, not raised."""
        self._shown = ""
        try:
            await self._run(scenario)
        except BaseExceptionGroup as group:
            problem = _first(group)
            if isinstance(problem, asyncio.CancelledError):
                raise
            emit("error", _words(problem))
        except TROUBLE as error:
            emit("error", _words(error))
        emit("finished", "Done.")

    async def _run(self, scenario: Scenario) -> None:
        emit("started", said("Ledger Desk connects to %(address)s", address=self._url))
        timeout = httpx2.Timeout(30, read=PATIENCE)
        async with httpx2.AsyncClient(auth=self._auth, timeout=timeout) as http:
            transport = streamable_http_client(self._url, http_client=http)
            me = Implementation(name="ledger-desk", title=NAME, version="1.0")
            async with Client(
                transport, client_info=me, elicitation_callback=self._held, read_timeout_seconds=PATIENCE,
            ) as client:
                emit("connected", said("Connected, protocol %(version)s.", version=client.session.protocol_version))
                names = ", ".join(tool.name for tool in (await client.list_tools()).tools)
                emit("tools", said("It may use: %(tools)s", tools=names) if names else said("It may use: nothing"))
                await self._call(client, scenario)

    async def _call(self, client: Client, scenario: Scenario) -> None:
        """Call, and as long as the answer is "still held", call again with identical arguments."""
        emit("calling", scenario.does)
        for _ in range(AGAIN):
            result = await client.call_tool(
                scenario.tool, dict(scenario.arguments), read_timeout_seconds=PATIENCE, progress_callback=self._progress
            )
            text = _text(result)
            if not (result.is_error and _still_held(result)):
                break
            self._show_held(text, _link(text))
        if result.is_error:
            emit("refused", text)
        else:
            emit(scenario.outcome, scenario.report(result.structured_content or {}) or text)


def _text(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def _still_held(result: CallToolResult) -> bool:
    return "call again with identical arguments" in _text(result).lower()


def _link(text: str) -> str:
    return next((word.rstrip(".,)") for word in text.split() if word.startswith(("http://", "https://"))), "")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong inside a task group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException) -> str:
    if isinstance(error, MCPError):
        return error.message
    if error.args and isinstance(error.args[0], Said):
        return error.args[0]
    return str(error) or type(error).__name__


async def _commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(public_url: str) -> None:
    """One scenario at a time: another one, or an end of the input, ends the one that waits."""
    async with Callback(public_url) as callback:
        desk = Desk(public_url, callback)
        commands = await _commands()
        running: asyncio.Task[None] | None = None
        while line := await commands.readline():
            if running is not None:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
            name = json.loads(line).get("scenario")
            if name in SCENARIOS:
                running = asyncio.create_task(desk.run(SCENARIOS[name]))
            else:
                emit("finished", f"{NAME} stopped waiting.")
        if running is not None:
            running.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
