"""What a passkey signed, kept beside the decision so that anyone can verify it later. Pure.

The keeper checks an assertion once and signs what came of it. Kept in the statement, the assertion shows on its own that the
key's holder signed this verdict on this document.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import struct
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    verify_signature,
)
from webauthn.helpers.exceptions import WebAuthnException

from vault.decided import challenge_for
from vault.errors import FactorRefused
from vault.table import Body, mapping, text

CLIENT_DATA, AUTHENTICATOR_DATA, SIGNATURE, PUBLIC_KEY = 2048, 1024, 5120, 3072
"""Bytes. Browsers' client data have about 200, authenticator data 37 and its extensions; an ML-DSA-87 signature has 4,627."""
FLAGS, LEAST = 32, 37
"""Of authenticator data (WebAuthn level 3 section 6.1): where the flags are, and how long it is at least."""
PRESENT, VERIFIED = 0x01, 0x04
MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, binascii.Error)
BOUNDS = {
    "client_data": CLIENT_DATA, "authenticator_data": AUTHENTICATOR_DATA, "signature": SIGNATURE, "public_key": PUBLIC_KEY,
}
FIELDS = frozenset({*BOUNDS, "rp_id", "origin", "nonce"})


class BadWitness(Exception):
    """The passkey's signature does not show this decision; the text says which part of it."""


def bounded(assertion: Body) -> None:
    """Before the challenge is spent: what is too long to be kept is no answer. Raises FactorRefused, BadRequest."""
    response = mapping(assertion, "response")
    for name, limit in (("clientDataJSON", CLIENT_DATA), ("authenticatorData", AUTHENTICATOR_DATA), ("signature", SIGNATURE)):
        if len(text(response, name, limit=16_000)) * 3 > limit * 4:
            raise FactorRefused(f"{name} is too long to be kept")


def kept(assertion: Body, *, public_key: str, nonce: str, rp_id: str, origin: str) -> Mapping[str, str]:
    """The evidence as the statement carries it: bytes in base64url without padding, the nonce in hex."""
    response = mapping(assertion, "response")
    return {
        "rp_id": rp_id, "origin": origin, "public_key": bytes_to_base64url(base64.b64decode(public_key)), "nonce": nonce,
        "client_data": _plain(response["clientDataJSON"]), "authenticator_data": _plain(response["authenticatorData"]),
        "signature": _plain(response["signature"]),
    }


def _plain(value: str) -> str:
    return bytes_to_base64url(base64url_to_bytes(value))


def check(evidence: Mapping[str, Any], *, verdict: str, digest: str) -> str:
    """The SHA-256 (hex) of the public key whose holder signed `verdict` on the document with `digest`. Raises BadWitness unless

    1. the evidence is whole and within its bounds;
    2. the client data are of an assertion (WebAuthn level 3 section 7.2, steps 10 to 13), for the challenge that names this
       verdict and document, at this origin and in no frame of another site;
    3. the authenticator's data are for this rpId, and the user was verified;
    4. the signature is the public key's, over both.
    """
    if set(evidence) != FIELDS or not all(isinstance(one, str) for one in evidence.values()):  # 1
        raise BadWitness("The passkey's evidence is not whole.")
    try:
        client, data, signature, public = (_bytes(evidence[name], limit) for name, limit in BOUNDS.items())
        nonce = bytes.fromhex(evidence["nonce"])
        if len(nonce) != 32 or nonce.hex() != evidence["nonce"]:
            raise BadWitness("The nonce is not 32 bytes.")
        _client(json.loads(client), challenge_for(verdict, nonce, digest), evidence["origin"])  # 2
        _authenticator(data, evidence["rp_id"])  # 3
        _signed(public, signature, data + hashlib.sha256(client).digest())  # 4
    except MALFORMED as error:
        raise BadWitness(f"The passkey's evidence cannot be read ({type(error).__name__}).") from error
    return hashlib.sha256(public).hexdigest()


def _bytes(text_: str, limit: int) -> bytes:
    """Base64url without padding, in its one form."""
    value: bytes = base64url_to_bytes(text_)
    if len(value) > limit or bytes_to_base64url(value) != text_:
        raise BadWitness("The passkey's evidence is too long, or not written in the one form it has.")
    return value


def _client(found: Any, expected: bytes, origin: str) -> None:
    if not isinstance(found, dict) or found.get("type") != "webauthn.get":
        raise BadWitness("What the passkey signed is not an assertion.")
    if not hmac.compare_digest(base64url_to_bytes(found["challenge"]), expected):
        raise BadWitness("The passkey signed another challenge: not this verdict on this document.")
    if found.get("origin") != origin or found.get("crossOrigin", False) is not False or "topOrigin" in found:
        raise BadWitness("The passkey was asked by another site.")


def _authenticator(data: bytes, rp_id: str) -> None:
    if len(data) < LEAST or not hmac.compare_digest(data[:FLAGS], hashlib.sha256(rp_id.encode()).digest()):
        raise BadWitness("The passkey signed for another host.")
    if data[FLAGS] & (PRESENT | VERIFIED) != PRESENT | VERIFIED:
        raise BadWitness("The passkey did not verify its user.")


def _signed(public: bytes, signature: bytes, message: bytes) -> None:
    try:
        decoded = decode_credential_public_key(public)
        key = decoded_public_key_to_cryptography(decoded)
        verify_signature(public_key=key, signature_alg=decoded.alg, signature=signature, data=message)
    except InvalidSignature as error:
        raise BadWitness("The signature is not this passkey's.") from error
