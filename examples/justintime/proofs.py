"""How a token client proves who it is: with a key (RFC 7523) or with a certificate (RFC 8705). There is no shared secret."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import import_key

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = {"EC": "ES256", "RSA": "PS256", "OKP": "Ed25519"}
LIFETIME = 60
"""Seconds that an assertion is good for."""


class Proof(Protocol):
    """What is added to each request, and to the TLS context of each connection."""

    @property
    def client_id(self) -> str: ...

    def fields(self, audience: str) -> dict[str, str]: ...

    def prepare(self, context: ssl.SSLContext) -> None: ...


@dataclass(frozen=True)
class Key:
    """`private_key_jwt`. `path` is the private key as a JWK (P-256, RSA or Ed25519), readable by this program alone."""

    client_id: str
    path: Path

    def fields(self, audience: str) -> dict[str, str]:
        key, now = import_key(json.loads(self.path.read_text())), int(time.time())
        claims = {
            "iss": self.client_id, "sub": self.client_id, "aud": audience, "iat": now, "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(16),
        }
        algorithm = ALGORITHMS[key.key_type]
        assertion = jwt.encode({"alg": algorithm, "kid": key.thumbprint()}, claims, key, algorithms=[algorithm])
        return {"client_id": self.client_id, "client_assertion_type": ASSERTION, "client_assertion": assertion}

    def prepare(self, context: ssl.SSLContext) -> None:
        """Nothing: the proof is in the request."""


@dataclass(frozen=True)
class Certificate:
    """`tls_client_auth`. `path` is one file with the private key and the certificate (PEM); `Broker.renew` replaces it whole."""

    client_id: str
    path: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)
    """The next one: each renewal has a new key."""

    def fields(self, audience: str) -> dict[str, str]:
        return {"client_id": self.client_id}

    def prepare(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self.path)

    def due(self, now: datetime | None = None) -> bool:
        """Whether half of the certificate's life has gone: enough is left to try again, should the first try fail."""
        found = x509.load_pem_x509_certificate(self.path.read_bytes())
        half = found.not_valid_before_utc + (found.not_valid_after_utc - found.not_valid_before_utc) / 2
        return (now or datetime.now(UTC)) >= half

    def request(self) -> bytes:
        """A certificate request for the next key (PKCS#10, PEM)."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.client_id)])
        made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    def install(self, certificate: str) -> Certificate:
        """Put the next key and its certificate in place, at once: whoever reads the file meanwhile finds the one pair or the
        other. The proof to go on with."""
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        beside = self.path.with_suffix(".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(private + certificate.encode())
            os.fsync(file.fileno())
        beside.replace(self.path)
        return Certificate(self.client_id, self.path)
