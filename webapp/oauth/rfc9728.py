"""RFC 9728, protected resource metadata: which authorization server gives tokens for a server behind the gateway. Ours."""

from __future__ import annotations

from typing import Any

from webapp.config import Settings
from webapp.oauth import metadata
from webapp.oauth.offers import Offer


def document(settings: Settings, offer: Offer) -> dict[str, Any]:
    """Section 2. `resource` is what the client was told to use, character by character (section 3.3)."""
    return {
        "resource": metadata.resource(settings, offer.name),
        "authorization_servers": [metadata.issuer(settings)],
        "scopes_supported": [metadata.SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": offer.title,
    }
