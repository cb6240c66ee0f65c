"""An MCP server whose tools work on people's accounts at Ledger House, and which keeps no key of them.

    COUNTERSEAL_URL=https://seal.example CLIENT_ID=client_… CLIENT_KEY=key.json BOOKS_API=https://books.example \\
        PUBLIC_URL=https://desk.example/mcp python examples/books_server.py 8300

With `CLIENT_CERTIFICATE=client.pem` (key and certificate in one file) in place of CLIENT_KEY it proves itself by mutual TLS.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import uvicorn
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations

from justintime import Broker, Certificate, Key, Token
from justintime.mcp import Needs, Verifier

URL, API = os.environ["PUBLIC_URL"], os.environ["BOOKS_API"]
COUNTERSEAL = os.environ["COUNTERSEAL_URL"]
ISSUER = os.environ.get("COUNTERSEAL_ISSUER", COUNTERSEAL)
PROOF = (
    Certificate(os.environ["CLIENT_ID"], Path(os.environ["CLIENT_CERTIFICATE"])) if "CLIENT_CERTIFICATE" in os.environ
    else Key(os.environ["CLIENT_ID"], Path(os.environ["CLIENT_KEY"]))
)

broker = Broker(COUNTERSEAL, PROOF)
needs = Needs(broker, reported="REPORTED" in os.environ)
server = MCPServer(
    "books", title="Ledger House books", token_verifier=Verifier(broker), subscriptions=False, log_level="WARNING",
    auth=AuthSettings(issuer_url=ISSUER, resource_server_url=URL, required_scopes=["mcp"]),  # type: ignore[arg-type]
)


async def ask(method: str, path: str, token: Token, **body: object) -> str:
    async with httpx2.AsyncClient(base_url=API, timeout=20) as http:
        answer = await http.request(method, path, headers={"Authorization": f"Bearer {token.value}"}, json=body or None)
    return answer.raise_for_status().text


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
@needs("ledger", scopes=["books:read"])
async def read_books(year: int, token: Token, ctx: Context) -> str:
    """What the books of a year say."""
    return await ask("GET", f"/books/{year}", token)


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
@needs("ledger", scopes=["books:pay"])
async def pay_invoice(invoice: str, token: Token, ctx: Context) -> str:
    """Pay an invoice from the books."""
    return await ask("POST", "/payments", token, invoice=invoice)


def main(port: int) -> None:
    security = TransportSecuritySettings(allowed_hosts=[urlsplit(URL).netloc], allowed_origins=[])
    app = server.streamable_http_app(
        streamable_http_path=urlsplit(URL).path, stateless_http=True, transport_security=security
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
