"""A software authenticator: answers WebAuthn creation and request options (their JSON) as a browser and a passkey would.

    passkey = Passkey()
    attestation = passkey.create(options, origin="http://localhost:8000")
    assertion = passkey.get(options, origin="http://localhost:8000")
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass
class Passkey:
    """One credential. What a hostile browser or a poor authenticator would do differently is given to `get` by name."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: os.urandom(32))
    count: int = 0
    handle: str = ""

    def create(self, options: Mapping[str, Any], *, origin: str, **otherwise: Any) -> dict[str, Any]:
        """The JSON of `navigator.credentials.create(options)`."""
        self.handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + public
        data = self._data(options["rp"]["id"], ATTESTED, otherwise) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = _client_data("webauthn.create", options["challenge"], origin, otherwise)
        return self._credential({
            "clientDataJSON": b64url(client), "attestationObject": b64url(attestation), "transports": ["internal"],
        })

    def get(self, options: Mapping[str, Any], *, origin: str, **otherwise: Any) -> dict[str, Any]:
        """The JSON of `navigator.credentials.get(options)`. `otherwise`: challenge, cross_origin, top_origin, verified, rp_id,
        count, key, handle."""
        self.count = otherwise.get("count", self.count + 1)
        data = self._data(options.get("rpId") or urlsplit(origin).hostname, 0, otherwise)
        client = _client_data("webauthn.get", options["challenge"], origin, otherwise)
        key: ec.EllipticCurvePrivateKey = otherwise.get("key", self.key)
        signature = key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._credential({
            "clientDataJSON": b64url(client), "authenticatorData": b64url(data), "signature": b64url(signature),
            "userHandle": otherwise.get("handle", self.handle),
        })

    def _data(self, rp_id: str, flags: int, otherwise: Mapping[str, Any]) -> bytes:
        rp_id = otherwise.get("rp_id", rp_id)
        flags |= PRESENT | (VERIFIED if otherwise.get("verified", True) else 0)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _credential(self, response: Mapping[str, Any]) -> dict[str, Any]:
        own = b64url(self.id)
        return {
            "id": own, "rawId": own, "type": "public-key", "response": dict(response), "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
        }


def _client_data(kind: str, challenge: str, origin: str, otherwise: Mapping[str, Any]) -> bytes:
    challenge = otherwise.get("challenge", challenge)
    crossed = otherwise.get("cross_origin", False)
    content: dict[str, Any] = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": crossed}
    if "top_origin" in otherwise:
        content["topOrigin"] = otherwise["top_origin"]
    return json.dumps(content).encode()
