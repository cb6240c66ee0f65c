"""The roots of the keys that the web process has itself (`Door.app_keys`): cookies, forms, `requestState`. Made and replaced as
`vault.roots` says."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.roots import Generation, Roots
from vault.secret import Secret

APP = Roots("app", "app/keys", held=timedelta(days=32), seldom=timedelta(days=1))
"""The longest-lived that is signed is Flask's cookie, with the token of the forms: 31 days. Each process tries all that are
good, so two on demand are a day apart."""


def derived(one: Generation, purpose: str) -> Secret[bytes]:
    """From a root that is used for nothing else: no purpose, however chosen, yields a key of the keeper's own."""
    info = b"counterseal/app/v1/" + purpose.encode()
    return Secret(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(one.root.reveal()))


def said(one: Generation, purpose: str, until: datetime | None) -> Mapping[str, Any]:
    return {
        "version": one.version, "key": base64.b64encode(derived(one, purpose).reveal()).decode(),
        "used_from": one.used_from.isoformat(), "until": until.isoformat() if until is not None else None,
    }
