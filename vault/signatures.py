"""Ed25519 signatures in transit's form, verified locally."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]{85}[AQgw]==)")
"""64 bytes leave the last digit four bits that say nothing (RFC 4648 section 3.5): zero, so that a signature has one form."""


class BadSignature(Exception):
    """Not of transit's form, of a key version we do not know, or not over these bytes."""


def split(signature: str) -> tuple[int, bytes]:
    """Key version and the 64 raw bytes. Raises BadSignature."""
    match = FORM.fullmatch(signature)
    if match is None:
        raise BadSignature("form")
    try:
        return int(match[1]), base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise BadSignature("base64") from error


def check(message: bytes, signature: str, keys: Mapping[int, bytes]) -> None:
    """Raises BadSignature. The algorithm is Ed25519 whatever the signature says; the version only names the key."""
    version, raw = split(signature)
    if version not in keys:
        raise BadSignature(f"no key version {version}")
    try:
        Ed25519PublicKey.from_public_bytes(keys[version]).verify(raw, message)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("signature") from error
