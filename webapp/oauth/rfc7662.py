"""RFC 7662, token introspection: for token clients that have authenticated themselves.

An agent is not one of them (section 4: an open endpoint is an oracle for guessed and stolen tokens). Until a token client with a
key or a certificate is registered, everyone is refused.
"""

from __future__ import annotations

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from webapp.oauth.server import Request, Server


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    server: Server

    def authenticate_endpoint_client(self, request: Request) -> None:
        """Section 2.3: 401 for a caller that did not authenticate."""
        raise InvalidClientError("Only an authenticated token client may ask about tokens", status_code=401)
