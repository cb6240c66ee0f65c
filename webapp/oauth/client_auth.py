"""The one place where a token client proves who it is: by a client certificate (RFC 8705) or a signed assertion (RFC 7523)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.clients.tables import Client
from webapp.web.house import House

if TYPE_CHECKING:
    from webapp.oauth.server import Request


@dataclass(frozen=True)
class Authenticated:
    """A token client that proved itself. `thumbprint` is `x5t#S256` of its certificate; None for a key."""

    client: Client
    method: str
    thumbprint: str | None


def authenticate(house: House, request: Request) -> Authenticated:
    """Who sends this request. Raises authlib's InvalidClientError (401), always with a sentence on what to do."""
    raise NotImplementedError
