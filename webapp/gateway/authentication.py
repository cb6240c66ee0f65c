"""Who calls: a bearer token of ours for this one server, in the `Authorization` header and nowhere else (RFC 6750, RFC 9728)."""

from __future__ import annotations

from flask import Request

from webapp.config import Settings
from webapp.gateway.wire import RpcError
from webapp.oauth import metadata, rfc6750
from webapp.oauth.tokens import Caller, InvalidToken, authenticate
from webapp.web import peer
from webapp.web.house import House

UNAUTHORIZED = -31401
FORBIDDEN = -31403
STATUS = {"invalid_request": 400, "insufficient_scope": 403}


class Challenge(RpcError):
    """A refusal that tells the client where to get a token: `header` is the `WWW-Authenticate` field."""

    def __init__(self, status: int, hint: str, header: str) -> None:
        super().__init__(UNAUTHORIZED, hint, status=status)
        self.header = header


def enter(house: House, server: str, request: Request) -> Caller:
    """The steps: 1. the origin; 2. no token in the query string; 3. one bearer token; 4. it is good here and now.

    Raises RpcError 403 for a foreign origin, Challenge otherwise. Two Authorization fields arrive joined by a comma, which no
    token has.
    """
    check_origin(house.settings, request.headers.get("Origin"))
    try:
        rfc6750.refuse_in_query(request.args.items(multi=True))
        raw = rfc6750.token_of(request.headers.get("Authorization"))
        if raw is not None:
            with house.database.look() as session:
                resource, presented = metadata.resource(house.settings, server), peer.certificate(request.environ)
                return authenticate(session, raw, resource, house.clock(), presented)
    except InvalidToken as error:
        header = rfc6750.challenge(house.settings, _name(server), error)
        raise Challenge(STATUS.get(error.code, 401), error.hint, header) from error
    header = rfc6750.challenge(house.settings, _name(server))
    raise Challenge(401, "This server asks for an access token.", header)


def _name(server: str) -> str:
    """The path is the caller's text: what could be no server's name is not quoted back in a header."""
    return server if metadata.NAME.fullmatch(server) else "unknown"


def check_origin(settings: Settings, origin: str | None) -> None:
    """Attack: DNS rebinding, and a page of some site that speaks to us through a person's browser. MCP clients that are no
    browsers send no Origin; pages of ours send ours (Streamable HTTP, Security)."""
    if origin is not None and origin != settings.public_url:
        raise RpcError(FORBIDDEN, "This Origin is not accepted.", status=403)
