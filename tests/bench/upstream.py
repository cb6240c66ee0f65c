"""The server behind the gateway, on the official SDK, as a process: `python -m tests.bench.upstream`. It prints its port, and
tells at `/received` when each payment's request reached it, on the machine's monotonic clock."""

from __future__ import annotations

import json
import socket
import sys
import time

import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

server = MCPServer("bank", log_level="WARNING")
RECEIVED: list[float] = []


@server.tool()
def get_balance(account: str) -> dict[str, str]:
    """The balance of the account."""
    return {"account": account, "balance": "12480.15", "currency": "EUR"}


@server.tool()
def send_payment(amount: str, currency: str, iban: str, payee: str) -> dict[str, str]:
    """Send a payment."""
    return {"receipt": f"R-{len(RECEIVED)}", "amount": amount, "currency": currency, "iban": iban, "payee": payee}


@server.custom_route("/received", methods=["GET"])
async def received(_request: Request) -> Response:
    return JSONResponse(RECEIVED)


class Watched:
    """Notes the time before anything is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"mcp-name", b"send_payment") in scope["headers"]:
            RECEIVED.append(time.monotonic())
        await self.app(scope, receive, send)


def main() -> None:
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    # asyncio switches Nagle's algorithm off only on a socket that names its protocol: else every answer waits 40 ms for an ACK.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    sys.stdout.write(json.dumps(listening.getsockname()[1]) + "\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(Watched(app), log_level="warning", access_log=False, timeout_keep_alive=75)).run([listening])


if __name__ == "__main__":
    main()
