"""Sealed blobs: what the keeper gives out to be handed back, unread and unchanged."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.errors import BadRequest, Stale
from vault.secret import Secret

NONCE = 12


class Seal:
    """AES-256-GCM under one key, with the purpose as associated data: a blob of one purpose does not open for another. Opens what
    `others` sealed too: those before it, and one that other processes may know already."""

    def __init__(self, key: Secret[bytes], *others: Secret[bytes]) -> None:
        self._ciphers = [AESGCM(one.reveal()) for one in (key, *others)]

    def seal(self, purpose: str, data: Mapping[str, Any], *, now: datetime, lifetime: int) -> str:
        """`lifetime` in seconds. The blob carries a nonce of its own (`nonce`), by which its use can be spent."""
        body = {**data, "nonce": secrets.token_urlsafe(18), "expires": int((now + timedelta(seconds=lifetime)).timestamp())}
        salt = os.urandom(NONCE)
        sealed = self._ciphers[0].encrypt(salt, json.dumps(body).encode(), _purpose(purpose))
        return base64.urlsafe_b64encode(salt + sealed).decode().rstrip("=")

    def open(self, purpose: str, sealed: str, *, now: datetime) -> dict[str, Any]:
        """Raises BadRequest for a blob that is not ours or of another purpose, Stale for one that is too old."""
        try:
            raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            body: dict[str, Any] = json.loads(self._opened(raw, _purpose(purpose)))
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise BadRequest(f"not a sealed {purpose}") from error
        if now.timestamp() >= body["expires"]:
            raise Stale(f"the {purpose} is too old")
        return body

    def _opened(self, raw: bytes, purpose: bytes) -> bytes:
        for cipher in self._ciphers:
            with suppress(InvalidTag):
                return cipher.decrypt(raw[:NONCE], raw[NONCE:], purpose)
        raise InvalidTag


def _purpose(purpose: str) -> bytes:
    return b"counterseal/sealed/v1/" + purpose.encode()
