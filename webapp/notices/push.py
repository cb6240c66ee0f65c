"""Web push: a browser's subscription checked, and a message encrypted for it alone (RFC 8030, 8188, 8291, 8292).

The push service carries what it cannot read. Which services there are is the operator's list: an endpoint is an address that a
browser sent us, and that we would then send to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec

from vault.addresses import plain
from vault.secret import Secret
from webapp.errors import BadInput
from webapp.notices import outward
from webapp.notices.outward import Answer
from webapp.notices.words import Message
from webapp.web.house import House

LONGEST = 1600
TTL = 3600
"""Seconds for which the push service keeps what it cannot deliver: after that it is old, and the queue says more."""
POINT, AUTH = 65, 16


@dataclass(frozen=True)
class Subscription:
    """Where a browser is reached, and its keys (RFC 8291 section 3.1 and 3.2)."""

    endpoint: str
    p256dh: str
    auth: str

    @property
    def origin(self) -> str:
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def mark(self) -> str:
        return hashlib.sha256(self.endpoint.encode()).hexdigest()

    def written(self) -> Secret[str]:
        return Secret(json.dumps([self.endpoint, self.p256dh, self.auth], separators=(",", ":")))


def read(given: str, services: Sequence[str]) -> Subscription:
    """What `PushSubscription.toJSON()` gives. Raises BadInput for what is none, or of a service that is not on the list."""
    try:
        found = json.loads(given[:4096])
        made = Subscription(found["endpoint"], found["keys"]["p256dh"], found["keys"]["auth"])
        _point(made.p256dh)
        good = len(_raw(made.auth)) == AUTH and isinstance(made.endpoint, str) and len(made.endpoint) <= LONGEST
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput("The browser’s subscription cannot be read.") from error
    if not good:
        raise BadInput("The browser’s subscription cannot be read.")
    if not known(made.endpoint, services):
        raise BadInput("Your browser’s push service is not on this installation’s list.")
    return made


def known(endpoint: str, services: Sequence[str]) -> bool:
    """Whether it is https at a listed host. Attack: an endpoint that names a machine of the inside (SSRF), or ends like a
    service's name without being one of its."""
    if not plain(endpoint):
        return False
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or parts.username is not None or parts.fragment:
        return False
    return any(_matches(parts.netloc.lower(), service) for service in services)


def _matches(netloc: str, service: str) -> bool:
    if service.startswith("*."):
        return netloc.endswith(service[1:]) and netloc != service[1:]
    return netloc == service


def send(house: House, address: Secret[str], message: Message, *, waited_for: bool = False) -> Answer:
    """One try. Raises KeeperError. A service that was taken off the list since is not sent to."""
    to = Subscription(*json.loads(address.reveal()))
    settings = house.settings.notices
    if not known(to.endpoint, settings.push_services):
        return Answer("address")
    public, subject = house.door.push_key(), settings.contact or house.settings.public_url
    token = house.door.push_token(audience=to.origin, subject=subject)
    headers = {
        "Authorization": f"vapid t={token.reveal()}, k={public}", "Content-Encoding": "aes128gcm", "TTL": str(TTL),
        "Content-Type": "application/octet-stream", "Urgency": "normal",
    }
    body = base64.b64encode(encrypted(to, message)).decode()
    return outward.push(settings, to.endpoint, body, headers, waited_for=waited_for)


def encrypted(to: Subscription, message: Message) -> bytes:
    """RFC 8291 section 3.4: under a key of this message's own, agreed with the browser's."""
    content: dict[str, Any] = {"title": message.title, "body": "\n".join(message.lines), "link": message.path}
    made: bytes = http_ece.encrypt(
        json.dumps(content).encode(), private_key=ec.generate_private_key(ec.SECP256R1()), dh=_raw(to.p256dh),
        auth_secret=_raw(to.auth), version="aes128gcm",
    )
    return made


def _point(given: str) -> None:
    """A point that is not on the curve would tell about our key; it is of this message alone, and is refused all the same."""
    raw = _raw(given)
    if len(raw) != POINT:
        raise ValueError(given)
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)


def _raw(given: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
