"""RFC 7662, token introspection: for token clients that have authenticated themselves, about tokens for their own `resource`,
and about their own leases of accounts' tokens, by the lease's id.

An agent may not ask (section 4: an open endpoint is an oracle for guessed and stolen tokens), and of any other token a
token client hears what it would hear of one that was never given: that it is not active.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.clients import certificates, lookup
from webapp.clients.tables import Client
from webapp.oauth import client_auth, metadata, tokens
from webapp.oauth.handed import LEASE
from webapp.oauth.rfc6749 import once_each
from webapp.oauth.server import Known, Request, Server
from webapp.oauth.tables import AccessToken, Grant
from webapp.people.tables import Person


@dataclass(frozen=True)
class Told:
    """A live access token for the resource of the client that asks."""

    person: str
    client: str
    scopes: tuple[str, ...]
    resource: str
    issued_at: datetime
    expires_at: datetime
    confirmation: str


def find(session: Session, raw: str, resource: str, now: datetime) -> Told | None:
    """The token, if it is live and for this resource; None for any other text. Refresh tokens are between a client and us."""
    if not tokens.shaped(raw, tokens.ACCESS):
        return None
    row = session.execute(
        select(AccessToken, Grant).join(Grant, Grant.id == AccessToken.grant).join(Client, Client.id == Grant.client)
        .join(Person, Person.id == Grant.person)
        .where(
            AccessToken.hash == tokens.digest(raw), AccessToken.revoked_at.is_(None), AccessToken.expires_at > now,
            Grant.status == "active", Grant.resource == resource, Client.status == "active", Person.suspended == "",
        )
    ).one_or_none()
    if row is None:
        return None
    token, grant = row
    if token.confirmation and not certificates.good(session, token.confirmation, now):
        return None
    return Told(
        grant.person, grant.client, tuple(grant.scopes), grant.resource, token.created_at, token.expires_at, token.confirmation
    )


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    server: Server

    def authenticate_endpoint_client(self, request: Request) -> Known:
        """Section 2.1: 401 for a caller that did not authenticate."""
        return self.server.authenticate_client(request, client_auth.METHODS, self.ENDPOINT_NAME)

    def authenticate_token(self, request: Request, client: Known) -> Told | Mapping[str, Any] | None:
        once_each(request.form)
        raw = request.form.get("token")
        if not raw:
            raise InvalidRequestError("Missing: token")
        house = self.server.house
        if LEASE.fullmatch(raw) and self.server.broker is not None:
            return self.server.broker.about(client.row.id, raw)
        with house.database.read() as session:
            asking = lookup.token_client(session, client.row.id)
            resource = asking.resource if asking is not None else None
            return find(session, raw, resource, house.clock()) if resource else None

    def create_introspection_payload(self, token: Told | Mapping[str, Any] | None) -> dict[str, Any]:
        """Section 2.2. `act` (RFC 8693 section 4.1): the person is who it is about, the client who acts. `cnf` (RFC 8705 section
        3.2): the resource server compares it with the certificate of its own connection."""
        if not isinstance(token, Told):
            return dict(token or {"active": False})
        told: dict[str, Any] = {
            "active": True, "scope": " ".join(token.scopes), "client_id": token.client, "token_type": "Bearer",
            "sub": token.person, "aud": token.resource, "iss": metadata.issuer(self.server.house.settings),
            "iat": int(token.issued_at.timestamp()), "exp": int(token.expires_at.timestamp()), "act": {"sub": token.client},
        }
        return told | ({"cnf": {"x5t#S256": token.confirmation}} if token.confirmation else {})
