"""Every address of the authorization server, from `public_url` alone: a forged Host header changes none of them."""

from __future__ import annotations

import re

from webapp.config import Settings

AUTHORIZE = "/oauth/authorize"
TOKEN = "/oauth/token"  # noqa: S105 an address
REGISTER = "/oauth/register"
REVOKE = "/oauth/revoke"
INTROSPECT = "/oauth/introspect"
CERTIFICATE = "/clients/certificate"
OPENAPI = "/openapi.json"
PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
SCOPE = "mcp"
"""The one scope: to call the server's tools through the gateway. What each call may do is policy's to say, at each call."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


def issuer(settings: Settings) -> str:
    return settings.public_url


def resource(settings: Settings, server: str) -> str:
    """The resource identifier of a server behind the gateway (RFC 8707 section 2)."""
    return f"{settings.public_url}/mcp/{server}"


def server_of(settings: Settings, identifier: str) -> str | None:
    """The server's name in a resource identifier of ours, compared character by character; None for anything else."""
    name = identifier.removeprefix(f"{settings.public_url}/mcp/")
    return name if NAME.fullmatch(name) and resource(settings, name) == identifier else None


def resource_metadata_url(settings: Settings, server: str) -> str:
    """Where a 401's `resource_metadata` points (RFC 9728 sections 3.1 and 5.1)."""
    return f"{settings.public_url}{PROTECTED_RESOURCE}/mcp/{server}"
