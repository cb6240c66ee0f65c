"""The bank's server takes the gateway's id of a call as idempotency key: it must look where the gateway puts it."""

from __future__ import annotations

from webapp.evaluation import bank_mcp
from webapp.gateway import upstream


def test_the_banks_server_reads_the_key_that_the_gateway_sends() -> None:
    assert bank_mcp.IDEMPOTENCY == upstream.IDEMPOTENCY
