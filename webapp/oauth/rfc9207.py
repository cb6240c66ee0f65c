"""RFC 9207: every authorization response, errors too, says who it comes from, so that a client of several authorization servers
cannot be made to take one's answer for another's (mix-up)."""

from __future__ import annotations

from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error


def answer(redirect_uri: str, issuer: str, state: str | None, **parameters: str) -> str:
    """The address of an authorization response. The registered redirect URI is kept as it is, query and all."""
    pairs = [*parameters.items(), *([("state", state)] if state else []), ("iss", issuer)]
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(pairs)}"


def error_answer(error: OAuth2Error, issuer: str) -> str:
    """The same for an error (RFC 6749 section 4.1.2.1) whose redirect URI was validated."""
    return answer(error.redirect_uri, issuer, error.state, error=error.error, error_description=error.get_error_description())
