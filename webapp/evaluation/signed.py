"""Short-lived statements signed with the secret of the run: sign-in links, the entrance cookie, login hints, forms.

HMAC-SHA-256 over the purpose and the body, so that one kind can never be used as another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from vault.secret import Secret
from webapp.errors import Forbidden

LONGEST = 4096


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _mac(key: Secret[bytes], purpose: str, payload: str) -> str:
    return _encode(hmac.digest(key.reveal(), f"{purpose}\n{payload}".encode(), hashlib.sha256))


def seal(key: Secret[bytes], purpose: str, body: Mapping[str, Any], *, now: float, lifetime: int) -> str:
    """Sign `body` for `lifetime` seconds. A random `id` is added, by which it can be spent once."""
    document = {"id": secrets.token_urlsafe(16), **body, "exp": int(now) + lifetime}
    payload = _encode(json.dumps(document, separators=(",", ":")).encode())
    return f"{payload}.{_mac(key, purpose, payload)}"


def unseal(key: Secret[bytes], purpose: str, text: str, *, now: float) -> dict[str, Any]:
    """The body of a statement made for `purpose`. Raises Forbidden if it is forged, for another purpose, or too old."""
    payload, _, mac = text.partition(".")
    if len(text) > LONGEST or not hmac.compare_digest(_mac(key, purpose, payload).encode(), mac.encode()):
        raise Forbidden("This was not issued by this instance, or was issued before it was restarted.", code="not_issued_here")
    body: dict[str, Any] = json.loads(_decode(payload))
    if now >= body["exp"]:
        raise Forbidden("This took too long. Start again.", code="too_late")
    return body
