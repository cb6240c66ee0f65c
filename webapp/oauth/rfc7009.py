"""RFC 7009, token revocation: a client gives back what it was given. A lease of an account's token is named by its id."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint

from webapp.clients.tables import Client
from webapp.oauth import issuing
from webapp.oauth.handed import LEASE
from webapp.oauth.rfc6749 import once_each
from webapp.oauth.server import ANY, Known, Request, Server


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    CLIENT_AUTH_METHODS = ANY
    server: Server

    def authenticate_endpoint_client(self, request: Request) -> Known:
        """Also an agent that was paused or revoked: giving back is always allowed."""
        request.client = self.server.authenticate_client(request, ANY, self.ENDPOINT_NAME)
        return request.client  # type: ignore[no-any-return]

    def authenticate_token(self, request: Request, client: Known) -> str:
        """Section 2.1. The hint is not needed: a token's prefix says what it is."""
        once_each(request.form)
        raw = request.form.get("token")
        if not raw:
            raise InvalidRequestError("Missing: token")
        return raw

    def revoke_token(self, token: str, request: Request) -> None:
        house, client = self.server.house, request.client.row
        assert isinstance(client, Client)
        if LEASE.fullmatch(token) and self.server.broker is not None:
            self.server.broker.end(client.id, token)
            return
        if not house.database.write(lambda s: issuing.revoke_token(s, token, client, house.clock())):
            raise InvalidGrantError("This token was given to another client")
