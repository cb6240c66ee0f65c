"""RFC 7591, dynamic client registration: open to anyone, always a public agent, bounded and counted.

What is not named here (logo, contacts, keys, software statements) is neither fetched nor kept: section 2 lets a server ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.consts import default_json_headers
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint, InvalidClientMetadataError, InvalidRedirectURIError

from webapp.canonical import Limits, parse
from webapp.clients import registration
from webapp.clients.tables import Client
from webapp.errors import BadInput
from webapp.oauth import metadata
from webapp.oauth.jobs import plan_cleaning
from webapp.web.house import House

GRANT_TYPES = ["authorization_code", "refresh_token"]


class Registration:
    """A registration request: its body, and where it came from."""

    def __init__(self, body: bytes, source: str) -> None:
        self.body = body
        self.source = source
        self.credential: object = None


class RegistrationEndpoint(ClientRegistrationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Authlib's order of things, with our own checks: it would hand out a secret and take any list of redirect URIs."""

    house: House

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house

    def create_endpoint_request(self, request: Registration) -> Registration:
        return request

    def authenticate_token(self, request: Registration) -> bool:
        """Section 3: an open endpoint. What keeps it in bounds is the count, and that a registration by itself allows nothing."""
        return True

    def extract_client_metadata(self, request: Registration) -> dict[str, Any]:
        limits = self.house.settings.oauth
        try:
            document = parse(request.body, Limits(bytes=limits.registration_bytes, depth=6, values=200))
        except BadInput as error:
            raise InvalidClientMetadataError("The body must be a small JSON object") from error
        if not isinstance(document, dict):
            raise InvalidClientMetadataError("The body must be a JSON object")
        uris, name = document.get("redirect_uris"), document.get("client_name")
        if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
            raise InvalidRedirectURIError("redirect_uris must be a list of URIs")
        if not isinstance(name, str | None):
            raise InvalidClientMetadataError("client_name must be a string")
        _takes_our_kind(document)
        return {"client_name": name, "redirect_uris": uris}

    def generate_client_info(self, request: Registration) -> dict[str, Any]:
        """No secret: a program on somebody's own machine cannot keep one (RFC 8252 section 8.5)."""
        return {}

    def save_client(self, client_info: Mapping[str, Any], client_metadata: Mapping[str, Any], request: Registration) -> Client:
        settings, now = self.house.settings, self.house.clock()

        def work(session: Any) -> Client:
            plan_cleaning(session, now)
            return registration.register(
                session, name=client_metadata["client_name"], redirect_uris=client_metadata["redirect_uris"],
                source=request.source, limits=settings.oauth, public_url=settings.public_url, now=now,
            )

        try:
            return self.house.database.write(work)
        except BadInput as error:
            raise InvalidRedirectURIError(error.hint) from error

    def generate_client_registration_info(self, client: Client, request: Registration) -> dict[str, Any]:
        """Section 3.2.1: what was registered, which is not always what was asked for."""
        return {
            "client_id": client.id,
            "client_id_issued_at": int(client.created_at.timestamp()),
            "client_name": client.name,
            "redirect_uris": client.redirect_uris,
            "grant_types": GRANT_TYPES,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": metadata.SCOPE,
        }

    def create_registration_response(self, request: Registration) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        asked = self.extract_client_metadata(request)
        client = self.save_client({}, asked, request)
        return 201, self.generate_client_registration_info(client, request), default_json_headers


def _takes_our_kind(document: Mapping[str, Any]) -> None:
    """A client that can do neither of our flows is told now rather than at its first authorization request."""
    asked = document.get("grant_types", ["authorization_code"])
    kinds = document.get("response_types", ["code"])
    if not isinstance(asked, list) or "authorization_code" not in asked:
        raise InvalidClientMetadataError("grant_types must include authorization_code")
    if not isinstance(kinds, list) or "code" not in kinds:
        raise InvalidClientMetadataError("response_types must include code")
