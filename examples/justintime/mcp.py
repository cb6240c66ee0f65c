"""For servers on the official MCP SDK: agents' tokens are checked at the door, and a tool says which account's token it needs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_type_hints

import anyio.from_thread
import anyio.to_thread
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from justintime.broker import Away, Broker, NeedsPerson, Pending, Refused, Token

Tool = Callable[..., Awaitable[Any]]


class Verifier:
    """`token_verifier` of an MCPServer: asks Counterseal whether an agent's token is good, for this server, now. Where it cannot
    be asked, nobody gets in."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def verify_token(self, token: str) -> AccessToken | None:
        found = await anyio.to_thread.run_sync(self.broker.introspect, token)
        if not found.get("active"):
            return None
        return AccessToken(
            token=token, client_id=found["client_id"], scopes=found["scope"].split(), expires_at=found["exp"],
            resource=found["aud"], subject=found["sub"],
        )


class Needs:
    """`needs = Needs(broker)`, then on a tool, under the SDK's own decorator:

        @server.tool()
        @needs("github", scopes=["repo:status"])
        async def status(repository: str, token: Token, ctx: Context) -> str: ...

    The tool gets a `token` for each call, which no agent sees or sends, and which is given back when the call is over.
    `reported`: say which tool is called with what; needed where an admin registered this server for certain tools. Where it is
    registered for certain resources, `@needs("github", scopes=["repo:status"], resource="repository")` says which argument of the
    call is the resource's id."""

    def __init__(self, broker: Broker, *, reported: bool = False) -> None:
        self.broker, self.reported = broker, reported

    def __call__(self, provider: str, *, scopes: Sequence[str], resource: str = "") -> Callable[[Tool], Tool]:
        def decorate(tool: Tool) -> Tool:
            signature = inspect.signature(tool)
            shown = [one for name, one in signature.parameters.items() if name != "token"]

            @functools.wraps(tool)
            async def call(*args: Any, **given: Any) -> Any:
                said = {name: value for name, value in given.items() if not isinstance(value, Context)}
                context = next((value for value in given.values() if isinstance(value, Context)), None)
                what = {"tool": tool.__name__, "arguments": said} if self.reported or resource else None
                if what is not None and resource:
                    what["resources"] = [str(said[resource])]
                token = await self._token(provider, scopes, what, context)
                try:
                    return await tool(*args, **given, token=token)
                finally:
                    await self._over(token)

            call.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
            call.__annotations__ = {name: kind for name, kind in get_type_hints(tool).items() if name != "token"}
            return call

        return decorate

    async def _token(
        self, provider: str, scopes: Sequence[str], what: dict[str, Any] | None, context: Context[Any, Any] | None
    ) -> Token:
        """Words for the agent and the person behind it, in place of an error that only a programmer reads."""
        caller = get_access_token()
        if caller is None:
            raise ToolError("This tool works for people who are signed in.")
        told = _progress(context)
        try:
            return await anyio.to_thread.run_sync(
                lambda: self.broker.token(caller.token, provider, scopes, call=what, waiting=told), abandon_on_cancel=True
            )
        except NeedsPerson as error:
            raise ToolError(f"{error} Ask the person to open {error.url} and then call again.") from error
        except Refused as error:
            denied = error.code == "access_denied"
            raise ToolError(f"It was refused: {error}" if denied else f"No token was given ({error.code}): {error}") from error
        except Away as error:
            raise ToolError("The place that keeps this account's key does not answer. Nothing was done; try again.") from error

    async def _over(self, token: Token) -> None:
        try:
            await anyio.to_thread.run_sync(self.broker.give_back, token)
        except Away:
            return  # it ends by itself


def _progress(context: Context[Any, Any] | None) -> Callable[[Pending], None]:
    """Tells a client that asked for progress where its person can decide."""
    count = 0

    def told(pending: Pending) -> None:
        nonlocal count
        count += 1
        if context is not None:
            anyio.from_thread.run(context.report_progress, count, None, f"Waits for a person's decision: {pending.url}")

    return told
