"""RFC 6750, bearer tokens: in the Authorization header and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable

from webapp.config import Settings
from webapp.oauth import metadata
from webapp.oauth.tokens import ANY_TOKEN, InvalidToken

IN_QUERY = "A token must not be sent in an address, where logs and histories keep it: send it in the Authorization header."


def token_of(authorization: str | None) -> str | None:
    """The bearer token of an Authorization header; None when there is no such header. Raises InvalidToken (`invalid_request`)
    for a header of another kind."""
    if authorization is None:
        return None
    scheme, _, raw = authorization.partition(" ")
    if scheme.lower() != "bearer" or not raw.strip():
        raise InvalidToken("Send the access token as Authorization: Bearer.", code="invalid_request")
    return raw.strip()


def refuse_in_query(query: Iterable[tuple[str, str]]) -> None:
    """Section 2.3 and RFC 9700 section 4.3.2: raises InvalidToken when an address carries a token, under any name."""
    if any(name == "access_token" or ANY_TOKEN.fullmatch(value) for name, value in query):
        raise InvalidToken(IN_QUERY, code="invalid_request")


def challenge(settings: Settings, server: str, error: InvalidToken | None = None) -> str:
    """The `WWW-Authenticate` of a 401 at `/mcp/<server>` (section 3, RFC 9728 section 5.1); no error without credentials."""
    fields = {"resource_metadata": metadata.resource_metadata_url(settings, server), "scope": metadata.SCOPE}
    if error is not None:
        fields |= {"error": error.code, "error_description": error.hint}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in fields.items())
