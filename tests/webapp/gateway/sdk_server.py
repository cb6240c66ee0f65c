"""An MCP server of the official SDK, as a process: `python sdk_server.py modern|legacy|legacy-json`. It prints its port, and
tells at `/seen` what it was sent."""

from __future__ import annotations

import json
import socket
import sys
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field
from starlette.types import Message, Receive, Scope, Send

server = MCPServer("peer")
SEEN: list[dict[str, Any]] = []


@server.tool()
def echo(text: str) -> str:
    return f"heard {text}"


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
def fail(why: str) -> str:
    raise ToolError(why)


@server.tool()
async def tell(steps: int, ctx: Context) -> str:
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, "working")
        await ctx.session.send_tool_list_changed()
    return "told"


@server.tool()
def routed(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    return region


@server.tool()
def destroy_all(what: str) -> str:
    return f"destroyed {what}"


class Name(BaseModel):
    name: str


@server.tool()
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Your name?", Name)
    return answer.action


class Watched:
    """Keeps what came in; a legacy server knows nothing of modern requests."""

    def __init__(self, app: Any, legacy: bool) -> None:
        self.app, self.legacy = app, legacy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == "/seen":
            await answer(send, 200, json.dumps(SEEN).encode())
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        SEEN.append({"method": scope["method"], "headers": headers, "body": body.decode()})
        if self.legacy and headers.get("mcp-protocol-version") == "2026-07-28":
            await answer(send, 400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Bad Request"}}')
            return
        await self.app(scope, replay(body, receive), send)


def replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def answer(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def main(kind: str) -> None:
    app = Watched(server.streamable_http_app(json_response=kind == "legacy-json"), kind.startswith("legacy"))
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_keep_alive=5)).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1])
