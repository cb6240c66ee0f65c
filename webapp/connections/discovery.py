"""An issuer's own metadata, fetched once when an operator adds it: OpenID Connect Discovery 1.0 and RFC 8414.

The document is a stranger's until the issuer in it is, character for character, the one that was asked for. The host is resolved
once and that address connected to, redirects are not followed, and size and time are bounded.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from vault.providers.catalogue import check_url
from webapp.errors import BadInput
from webapp.registry import addresses

BYTES = 200_000
SECONDS = 10.0
CHUNK = 16_384
ENDPOINTS = {
    "authorize_url": "authorization_endpoint", "token_url": "token_endpoint", "revoke_url": "revocation_endpoint",
    "userinfo_url": "userinfo_endpoint", "jwks_url": "jwks_uri",
}
PLAIN = re.compile(r"[\x21-\x7e]{1,100}")


class DiscoveryFailed(BadInput):
    default = "discovery_failed"


@dataclass(frozen=True)
class Found:
    """What an issuer says of itself. `facts` are the keys of a catalogue file; `scopes` those it lists; `notes` what an operator
    should know."""

    facts: Mapping[str, Any]
    scopes: tuple[str, ...]
    notes: tuple[str, ...]


def discover(issuer: str, *, local: bool) -> Found:
    """Raises DiscoveryFailed, AddressRefused. `local`: an evaluation instance, which knows this machine alone, without TLS.

    1. the issuer is an https URL without query or fragment (RFC 8414 section 2); 2. its document is fetched from the OpenID
    Connect place, or else from that of RFC 8414; 3. it names exactly this issuer (section 3.3); 4. its endpoints are addresses
    that tokens may be sent to; 5. it offers the code flow.
    """
    parts = _issuer(issuer, local=local)  # 1
    found, oidc = _document(issuer, parts)  # 2
    if found.get("issuer") != issuer:  # 3
        named = str(found.get("issuer"))[:120]
        raise DiscoveryFailed(f"The document at {parts.hostname} names another issuer: {named!r}. Give that one if you trust it.")
    endpoints = {ours: _endpoint(found.get(theirs), theirs, local=local) for ours, theirs in ENDPOINTS.items()}  # 4
    if not endpoints["authorize_url"] or not endpoints["token_url"]:
        raise DiscoveryFailed("The issuer's document names no authorization and token endpoint.")
    if "code" not in _texts(found.get("response_types_supported"), default=("code",)):  # 5
        raise DiscoveryFailed("The issuer does not offer the code flow, and there is no other here.")
    return _found(issuer, found, endpoints, oidc=oidc)


def _issuer(issuer: str, *, local: bool) -> SplitResult:
    parts = addresses.split(issuer)
    if parts.query or issuer.endswith("?"):
        raise DiscoveryFailed("An issuer has no query.")
    try:
        check_url(issuer, local=local)
    except ValueError as error:
        raise DiscoveryFailed("An issuer's address begins with https://.") from error
    return parts


def _document(issuer: str, parts: SplitResult) -> tuple[Mapping[str, Any], bool]:
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = [
        (issuer.rstrip("/") + "/.well-known/openid-configuration", True),
        (f"{origin}/.well-known/oauth-authorization-server{path}", False),
    ]
    for url, oidc in places:
        found = _fetch(url)
        if found is not None:
            return found, oidc
    raise DiscoveryFailed(f"No metadata was found at {places[0][0]} nor at {places[1][0]}.")


def _fetch(url: str) -> Mapping[str, Any] | None:
    """The JSON object there, or None where there is none."""
    parts, end = addresses.split(url), time.monotonic() + SECONDS
    where = addresses.resolve(parts)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    line = kind(parts.hostname or "", where[1], timeout=SECONDS)

    def connect(_named: object, *rest: Any, **named: Any) -> socket.socket:
        return socket.create_connection(where, *rest, **named)

    line._create_connection = connect  # type: ignore[attr-defined]  # the address that was checked, under the name TLS verifies
    try:
        line.request("GET", parts.path, headers={"Accept": "application/json", "User-Agent": "counterseal"})
        answer = line.getresponse()
        body = _bounded(answer, end) if answer.status == 200 else b""
    except (OSError, http.client.HTTPException) as error:
        raise DiscoveryFailed(f"{parts.hostname} does not answer: {type(error).__name__}.") from error
    finally:
        line.close()
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _bounded(answer: http.client.HTTPResponse, end: float) -> bytes:
    body = b""
    while part := answer.read1(CHUNK):
        body += part
        if len(body) > BYTES or time.monotonic() > end:
            raise DiscoveryFailed("The issuer's document is too large, or took too long.")
    return body


def _endpoint(value: Any, name: str, *, local: bool) -> str:
    """Attack: a document that points at the inside (a cloud's metadata address). Raises DiscoveryFailed, AddressRefused."""
    if value is None:
        return ""
    url = value if isinstance(value, str) and value else "no address"
    try:
        check_url(url, local=local)
    except ValueError as error:
        raise DiscoveryFailed(f"The issuer's {name} is no address that tokens may be sent to.") from error
    addresses.resolve(urlsplit(url))
    return url


def _found(issuer: str, found: Mapping[str, Any], endpoints: Mapping[str, str], *, oidc: bool) -> Found:
    notes: list[str] = []
    challenges = _texts(found.get("code_challenge_methods_supported"), default=())
    if "S256" not in challenges:
        silent = "It does not say that it checks PKCE; it is sent anyway."
        notes.append("It offers PKCE, but not S256: none is sent." if challenges else silent)
    methods = _texts(found.get("token_endpoint_auth_methods_supported"), default=("client_secret_basic",))
    if not {"client_secret_basic", "client_secret_post", "none"} & set(methods):
        notes.append(f"It takes no client secret, only {', '.join(methods)}: that is not possible here.")
    if not endpoints["userinfo_url"]:
        notes.append("It does not say whose account a token is for: give `userinfo_url`, or in `account` where it says so.")
    facts: dict[str, Any] = {
        "extends": "oidc" if oidc else "oauth", "discovery": False, "issuer": issuer,
        **{key: value for key, value in endpoints.items() if value},
        "iss": found.get("authorization_response_iss_parameter_supported") is True,
        "pkce": "S256" in challenges or not challenges,
        "client_auth": "basic" if "client_secret_basic" in methods or "client_secret_post" not in methods else "post",
        "picker": "select_account" in _texts(found.get("prompt_values_supported"), default=()),
    }
    if not endpoints["revoke_url"]:
        facts |= {"revoke_style": "none", "revoke_effect": "none"}
        notes.append("It has no revocation endpoint: give `manual_revoke_url`, so that people find where to take it back.")
    return Found(facts, _texts(found.get("scopes_supported"), default=()), tuple(notes))


def _texts(value: Any, *, default: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, list):
        return default
    return tuple(one for one in value if isinstance(one, str) and PLAIN.fullmatch(one))[:100]
