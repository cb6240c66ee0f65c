"""RFC 8414, authorization server metadata: what a client needs to begin, from `public_url` alone."""

from __future__ import annotations

from typing import Any

from authlib.oauth2 import rfc8414, rfc9207

from webapp.config import Settings
from webapp.oauth import metadata
from webapp.oauth.rfc7591 import GRANT_TYPES


def document(settings: Settings) -> dict[str, Any]:
    """Section 2. Introspection is not announced as long as nobody may use it."""
    base = settings.public_url
    return {
        "issuer": metadata.issuer(settings),
        "authorization_endpoint": base + metadata.AUTHORIZE,
        "token_endpoint": base + metadata.TOKEN,
        "registration_endpoint": base + metadata.REGISTER,
        "revocation_endpoint": base + metadata.REVOKE,
        "scopes_supported": [metadata.SCOPE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANT_TYPES,
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


def check(settings: Settings) -> None:
    """Hold the document to the RFC; raises ValueError, for a `public_url` that is neither https nor loopback above all."""
    rfc8414.AuthorizationServerMetadata(document(settings)).validate(
        metadata_classes=[rfc9207.AuthorizationServerMetadata],
    )
