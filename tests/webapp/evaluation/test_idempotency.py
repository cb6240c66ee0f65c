"""The gateway's id of a call is the bank's idempotency key: a call that comes twice pays once, through everything in between."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import uvicorn

from tests.browser_parts import served
from tests.webapp.evaluation.test_bank import ISSUER, ORDER, Customer
from vault.secret import Secret
from webapp.config import Gateway
from webapp.evaluation import bank_mcp
from webapp.evaluation.run import Run
from webapp.gateway.negotiation import Target
from webapp.gateway.upstream import Outcome, ToolCall, Upstreams

RUN = Run("http://localhost:8000", "http://127.0.0.1:1", ISSUER, "", Secret("r" * 43))


@contextmanager
def mcp(bank_port: int) -> Iterator[str]:
    """The bank's MCP server, in a thread, in front of the bank at this port: its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        host = {"Host": ISSUER.removeprefix("http://")}
        ledger = bank_mcp.Ledger(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{bank_port}", headers=host, timeout=30))
        server = uvicorn.Server(uvicorn.Config(bank_mcp.app(replace(RUN, mcp=url), ledger), log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.02)
            yield url
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def customer(tmp_path: Path) -> Customer:
    return Customer(tmp_path)


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    made = Upstreams(Gateway(upstream_timeout=60))
    yield made
    made.close()


def balance(customer: Customer, token: str) -> str:
    return str(customer.get(token).get_json()["balance"])


def test_a_payment_that_is_sent_twice_is_made_once_and_answered_alike(customer: Customer, upstreams: Upstreams) -> None:
    """As the gateway sends it: the key in `_meta`, the account's token in the header."""
    token = customer.connect()["access_token"]

    def pay(key: str, **changed: str) -> Outcome:
        arguments = json.dumps({**ORDER, **changed}).encode()
        return upstreams.call(Target(url, "per_ada", Secret(token)), ToolCall("send_payment", arguments, key))

    with served(customer.app) as bank_port, mcp(bank_port) as url:
        first, again = pay("act_1"), pay("act_1")
        assert first.result["structuredContent"]["receipt"] == again.result["structuredContent"]["receipt"] == "HB-000001"
        assert balance(customer, token) == "41683.80"
        other = pay("act_1", amount="481.00")
        assert other.result["isError"]
        assert "idempotency" in other.result["content"][0]["text"].lower() or "key" in other.result["content"][0]["text"].lower()
        assert balance(customer, token) == "41683.80"
        assert pay("act_2").result["structuredContent"]["receipt"] == "HB-000002"
        assert balance(customer, token) == "41203.80"
