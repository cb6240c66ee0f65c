"""Harbour Bank's MCP server, on the official SDK: `python -m webapp.evaluation.bank_mcp INSTANCE FD`.

It holds no credential. Each call brings a bank token in its Authorization header, which goes to the ledger and nowhere else.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx2
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from webapp.evaluation import run as runs

IDEMPOTENCY = "counterseal/idempotency-key"
"""The `_meta` key under which the gateway sends the action's id: the bank's idempotency key."""

Amount = Annotated[str, Field(description="Decimal in major units with two decimals, for example 480.00", max_length=16)]
Currency = Annotated[str, Field(description="ISO 4217 code, for example EUR", min_length=3, max_length=3)]
Iban = Annotated[str, Field(description="The payee's IBAN", max_length=42)]
Payee = Annotated[str, Field(description="The payee's name", min_length=1, max_length=140)]
Reference = Annotated[str, Field(description="What the payee will read as the payment's reference", min_length=1, max_length=140)]


class Balance(BaseModel):
    account: str
    iban: str
    balance: str
    currency: str


class KnownPayee(BaseModel):
    name: str
    iban: str
    payments: int
    last_paid: str


class Payees(BaseModel):
    payees: list[KnownPayee]


class Receipt(BaseModel):
    receipt: str
    status: str
    amount: str
    currency: str
    payee: str
    iban: str
    reference: str
    executed_at: str


class Ledger:
    """The bank's API over kept connections."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ask(self, ctx: Context[Any, Any], method: str, path: str, **request: Any) -> Any:
        """Send the caller's own token along. Raises ToolError with the bank's words."""
        headers = {"Authorization": _authorization(ctx), **request.pop("headers", {})}
        try:
            response = await self._client.request(method, path, headers=headers, **request)
        except httpx2.HTTPError as error:
            raise ToolError("Harbour Bank does not answer. Try again in a moment.") from error
        if response.status_code >= 400:
            problem = response.json()
            raise ToolError(f"Harbour Bank refused: {problem['message']} ({problem['error']})")
        return response.json()


def _authorization(ctx: Context[Any, Any]) -> str:
    sent = (ctx.headers or {}).get("authorization", "")
    if not sent.lower().startswith("bearer "):
        raise ToolError("This tool needs a Harbour Bank access token in the Authorization header.")
    return sent


def _idempotency(ctx: Context[Any, Any]) -> dict[str, str]:
    meta = ctx.request_context.meta
    action = meta.get(IDEMPOTENCY) if meta else None
    return {"Idempotency-Key": action} if isinstance(action, str) and action else {}


def make(ledger: Ledger) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer(
        "harbour-bank", title="Harbour Bank", version="1.4.0", subscriptions=False,
        instructions="Accounts and payments at Harbour Bank. Amounts are decimals in text.", log_level="WARNING",
    )

    @server.tool(title="Account balance", annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    async def get_balance(ctx: Context[Any, Any]) -> Balance:
        """The balance of the connected account."""
        return Balance.model_validate(await ledger.ask(ctx, "GET", "/api/balance"))

    @server.tool(title="Known payees", annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    async def list_payees(ctx: Context[Any, Any]) -> Payees:
        """Whom this account has paid before, latest first."""
        return Payees.model_validate(await ledger.ask(ctx, "GET", "/api/payees"))

    @server.tool(
        title="Send a payment",
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True),
    )
    async def send_payment(
        amount: Amount, currency: Currency, iban: Iban, payee: Payee, reference: Reference, ctx: Context[Any, Any]
    ) -> Receipt:
        """Send a SEPA payment from the connected account. It is executed at once and cannot be taken back."""
        order = {"amount": amount, "currency": currency, "iban": iban, "payee": payee, "reference": reference}
        paid = await ledger.ask(ctx, "POST", "/api/payments", json=order, headers=_idempotency(ctx))
        return Receipt.model_validate(paid)

    return server


async def health(_request: Request) -> Response:
    return Response(status_code=204)


def app(run: runs.Run, ledger: Ledger) -> Starlette:
    """The ASGI app at `/mcp`: stateless, JSON answers, its own Host only (DNS rebinding)."""
    security = TransportSecuritySettings(allowed_hosts=[urlsplit(run.mcp).netloc], allowed_origins=[])
    made = make(ledger).streamable_http_app(stateless_http=True, json_response=True, transport_security=security)
    made.add_route("/health", health)
    return made


def main(instance: Path, fd: int) -> None:
    run = runs.read(instance)
    ledger = Ledger(httpx2.AsyncClient(base_url=run.bank, timeout=10))
    config = uvicorn.Config(app(run, ledger), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run([socket.socket(fileno=fd)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
