"""`examples/justintime`: what a decorated tool says of its call. The rest of the library runs in tests/real/test_examples.py."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from tests.keeper_parts import ROOT

sys.path.append(str(ROOT / "examples"))

from justintime import Token
from justintime.mcp import Needs


@dataclass
class Generous:
    """Stands in for the broker: gives every token, and keeps what was said of the call."""

    calls: list[Any] = field(default_factory=list)
    back: list[str] = field(default_factory=list)

    def token(self, subject: str, provider: str, scopes: list[str], *, call: Any, waiting: Any) -> Token:
        self.calls.append(call)
        return Token(f"for {subject}", 60, tuple(scopes), "lea_1")

    def give_back(self, token: Token) -> None:
        self.back.append(token.lease)


def test_a_server_for_certain_resources_names_the_one_that_a_call_is_about() -> None:
    """One more word at the decorator; without it nothing is said that an admin did not ask for."""
    broker = Generous()
    needs = Needs(broker)  # type: ignore[arg-type]

    @needs("github", scopes=["repo:status"], resource="repository")
    async def status(repository: str, token: Token) -> str:
        return f"{repository} {token.value}"

    @needs("github", scopes=["repo:status"])
    async def plain(repository: str, token: Token) -> str:
        return f"{repository} {token.value}"

    kept = auth_context_var.set(AuthenticatedUser(AccessToken(token="Nora", client_id="agent", scopes=[])))
    try:
        for tool in (status, plain):
            assert anyio.run(functools.partial(tool, repository="acme/site")) == "acme/site for Nora"
    finally:
        auth_context_var.reset(kept)
    said = {"tool": "status", "arguments": {"repository": "acme/site"}, "resources": ["acme/site"]}
    assert (broker.calls, broker.back) == ([said, None], ["lea_1"] * 2)
