"""A token client of a test's: registered on the real keeper, with its key or certificate, and its assertions."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import ECKey, Key

from tests.clock import Clock
from tests.csr import csr, new_key
from vault.door import Certified
from webapp.clients import certificates, permissions, token_clients
from webapp.clients.token_clients import Registration
from webapp.ids import new_id
from webapp.oauth import rfc7523
from webapp.web.house import House


@dataclass
class TokenClientParts:
    """`claims` of an assertion and its `header` can each be changed; None leaves one out."""

    house: House
    id: str
    key: Any
    certified: Certified | None = None
    resource: str | None = None
    redirect_uris: list[str] = field(default_factory=list)

    @property
    def pem(self) -> str:
        assert self.certified
        return self.certified.pem

    @property
    def der(self) -> bytes:
        return x509.load_pem_x509_certificate(self.pem.encode()).public_bytes(Encoding.DER)

    @property
    def thumbprint(self) -> str:
        return certificates.thumbprint(self.der)

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(self.house.clock().timestamp())
        made = {
            "iss": self.id, "sub": self.id, "aud": self.house.settings.public_url, "iat": now, "exp": now + 60,
            "jti": secrets.token_hex(16), **changed,
        }
        return {name: value for name, value in made.items() if value is not None}

    def assertion(self, *, key: Key | None = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
        signing = key or self.key
        named = {"alg": "ES256", "kid": signing.thumbprint(), **(header or {})}
        named = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(named, self.claims(**changed), signing, algorithms=[named["alg"]])

    def proof(self, **changed: Any) -> dict[str, str]:
        """The form fields of `private_key_jwt`."""
        return {"client_assertion_type": rfc7523.TYPE, "client_assertion": self.assertion(**changed)}


def with_key(house: House, name: str = "Payments", *, key: Key | None = None, **asked: Any) -> TokenClientParts:
    key = key or ECKey.generate_key("P-256")
    return _registered(house, name, key, json.dumps(key.as_dict(private=False)), new_id("client"), **asked)


def with_certificate(house: House, name: str = "Payments", *, lifetime: int = 24 * 3600, **asked: Any) -> TokenClientParts:
    key, client = new_key(), new_id("client")
    if isinstance(house.clock, Clock):  # the authority's clock is the real one
        house.clock.now = max(house.clock.now, datetime.now(UTC))
    given = house.door.certify(client=client, csr=csr(key), lifetime=lifetime)
    return _registered(house, name, key, given, client, **asked)


def _registered(
    house: House, name: str, key: Any, proof: str | Certified, client: str, *, allow: tuple[str, ...] = (),
    tools: tuple[str, ...] = (), resource_ids: tuple[str, ...] = (), resource: str | None = None,
    redirect_uris: tuple[str, ...] = (),
) -> TokenClientParts:
    asked = Registration(name, permissions.read(allow, tools, resource_ids), resource, list(redirect_uris))
    house.database.write(lambda s: token_clients.add(
        s, client, asked, proof=proof, settings=house.settings, actor="cli", now=house.clock()
    ))
    return TokenClientParts(
        house, client, key, proof if isinstance(proof, Certified) else None, resource, list(redirect_uris)
    )


class Peer:
    """What gunicorn has in `environ["gunicorn.socket"]` after a handshake with a client certificate, or without one."""

    def __init__(self, der: bytes | None) -> None:
        self.der = der

    def getpeercert(self, binary: bool) -> bytes | None:
        assert binary
        return self.der


def with_peer(der: bytes | None) -> dict[str, Any]:
    """For `environ_overrides` of a test client's request."""
    return {"gunicorn.socket": Peer(der)}
