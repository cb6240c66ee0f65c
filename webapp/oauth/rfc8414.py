"""RFC 8414, authorization server metadata: what a client needs to begin, from `public_url` alone."""

from __future__ import annotations

from typing import Any

from authlib.oauth2 import rfc8414, rfc9207

from webapp.config import Settings
from webapp.oauth import client_auth, metadata, rfc7523, rfc8693, rfc9396
from webapp.oauth.ciba import PollGrant
from webapp.oauth.rfc6749_4_4 import OwnGrant
from webapp.oauth.rfc7591 import GRANT_TYPES
from webapp.oauth.server import ANY


def document(settings: Settings) -> dict[str, Any]:
    """Section 2, RFC 8705 section 3.3."""
    base = settings.public_url
    return {
        "issuer": metadata.issuer(settings),
        "authorization_endpoint": base + metadata.AUTHORIZE,
        "token_endpoint": base + metadata.TOKEN,
        "registration_endpoint": base + metadata.REGISTER,
        "revocation_endpoint": base + metadata.REVOKE,
        "introspection_endpoint": base + metadata.INTROSPECT,
        "scopes_supported": [metadata.SCOPE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [*GRANT_TYPES, rfc8693.GRANT, OwnGrant.GRANT_TYPE, PollGrant.GRANT_TYPE],
        "authorization_details_types_supported": [rfc9396.TYPE],
        "token_endpoint_auth_methods_supported": list(ANY),
        "token_endpoint_auth_signing_alg_values_supported": list(rfc7523.ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(ANY),
        "revocation_endpoint_auth_signing_alg_values_supported": list(rfc7523.ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(client_auth.METHODS),
        "introspection_endpoint_auth_signing_alg_values_supported": list(rfc7523.ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


def check(settings: Settings) -> None:
    """Hold the document to the RFC; raises ValueError, for a `public_url` that is neither https nor loopback above all."""
    rfc8414.AuthorizationServerMetadata(document(settings)).validate(
        metadata_classes=[rfc9207.AuthorizationServerMetadata],
    )
