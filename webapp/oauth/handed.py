"""What the token endpoint is handed by the rooms above it: who asks for which account's token, and what came of it.

Values only. The wire (`rfc8693`, `rfc6749_4_4`, `ciba`) reads requests into `Asked` and writes `Given` and `NotGiven` out again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vault.secret import Secret
from webapp.errors import CountersealError
from webapp.oauth.client_auth import Authenticated
from webapp.oauth.tokens import Caller

LEASE = re.compile(r"lea_[0-9a-z]{1,40}", re.ASCII)
"""A lease's id. The provider's token itself is never sent back to us."""


@dataclass(frozen=True)
class ToolCall:
    """What a token client says it will do with the token (RFC 9396, type `tool_call`). Its own words: nobody here sees to it."""

    tool: str
    arguments: Mapping[str, Any]
    resources: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A request for a token of a connected account. `subject` is whose call it is; None where the client asks for itself.
    `provider` or `connection` may be empty, never both."""

    client: Authenticated
    subject: Caller | None
    provider: str
    connection: str
    scopes: tuple[str, ...]
    call: ToolCall | None = None


@dataclass(frozen=True)
class Given:
    """A provider's access token, for `expires_in` seconds. `scopes` are what it can really do, as the provider said."""

    token: Secret[str]
    lease: str
    scopes: tuple[str, ...]
    expires_in: int
    call: ToolCall | None = None


class NotGiven(CountersealError):
    """No token. `code` is an OAuth error code; `url` is the page that somebody has to go to, where there is one. `request` names
    what waits for people (`auth_req_id`), with the seconds between two polls and until it lapses; `reason` is a code for why a
    person refused it."""

    default = "access_denied"

    def __init__(
        self, hint: str, *, code: str | None = None, detail: str = "", url: str = "", request: str = "", interval: int = 0,
        expires_in: int = 0, reason: str = "",
    ) -> None:
        super().__init__(hint, code=code, detail=detail)
        self.url = url
        self.request = request
        self.interval = interval
        self.expires_in = expires_in
        self.reason = reason


class Broker(Protocol):
    """Every method raises the house's and the keeper's errors where something is out of service."""

    def give(self, asked: Asked) -> Given:
        """A token, or NotGiven: refused by registration, consent, account or policy; or held until people have decided."""

    def poll(self, client: Authenticated, request: str) -> Given:
        """What became of a held request of this client's. Raises NotGiven."""

    def end(self, client: str, lease: str) -> None:
        """The client gives a lease back. One that is not its own, or is over, is left as it is."""

    def about(self, client: str, lease: str) -> Mapping[str, Any]:
        """RFC 7662 section 2.2, of the client's own lease; `{"active": False}` of anything else."""
