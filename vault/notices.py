"""What telling people needs of the keeper: their channels' addresses sealed, and the word of this installation for push services.

A channel's address (an Apprise URL) is a credential of somebody else's service: whoever has it can write there. It lies sealed in
the database, under the keeper's own key and bound to its channel, and comes out one at a time, for whoever sends there.
It is not sent from here: that code speaks to a hundred services, and has no place beside what the keeper holds.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vault.addresses import plain
from vault.errors import BadRequest, TooMany
from vault.roots import CHANNELS, PUSH
from vault.seal import Seal
from vault.table import Body, Keeper, secret, segment, text

log = logging.getLogger("counterseal.keeper.notices")

CHANNEL = "channel"
KEPT = int(timedelta(days=3650).total_seconds())
LONGEST = 2048
"""Characters of an address."""
OPENED = 600
"""Addresses opened in one minute, by each keeper process. Attack: whoever runs code in the web process reads them all at once."""
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256 (SEC 2 section 2.4.2)."""
GOOD_FOR = timedelta(hours=1)
"""RFC 8292 section 2: a day at most."""


def channel_seal(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.channel_seal`."""
    data = {"id": segment(body, "channel"), "url": secret(body, "url", limit=LONGEST).reveal()}
    return {"sealed": _seal(keeper).seal(CHANNEL, data, now=keeper.clock(), lifetime=KEPT)}


def channel_open(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.channel_open`. Attack: a row is given another's sealed address, and its owner's test button sends there."""
    channel = segment(body, "channel")
    _within_limit(keeper)
    found = _seal(keeper).open(CHANNEL, text(body, "sealed", limit=8192), now=keeper.clock())
    if found["id"] != channel:
        raise BadRequest(f"the sealed address is not of {channel}")
    log.info("address of a channel opened channel=%s", channel)
    return {"url": found["url"]}


def push_key(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.push_key`: the public half, uncompressed (RFC 8292 section 3.2)."""
    public = _key(keeper).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"key": _b64(public)}


def push_token(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.push_token`: a JWT by ES256 for one push service's origin (RFC 8292 section 2)."""
    audience, subject = text(body, "audience", limit=300), text(body, "subject", limit=300)
    parts = urlsplit(audience) if plain(audience) else None
    if parts is None or parts.scheme != "https" or f"{parts.scheme}://{parts.netloc}" != audience:
        raise BadRequest("audience is not an https origin")
    claims = {"aud": audience, "exp": int((keeper.clock() + GOOD_FOR).timestamp()), "sub": subject}
    signed = ".".join(_b64(json.dumps(one, separators=(",", ":")).encode()) for one in ({"typ": "JWT", "alg": "ES256"}, claims))
    r, s = decode_dss_signature(_key(keeper).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return {"token": f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"}


def _seal(keeper: Keeper) -> Seal:
    """Under keys of its own, and not the keeper's usual ones: what those sealed is good for an hour after they were replaced."""
    used = CHANNELS.used(keeper)
    return Seal(used.root, *(one.root for one, _ in reversed(CHANNELS.good(keeper)) if one != used))


def _key(keeper: Keeper) -> ec.EllipticCurvePrivateKey:
    """Of its own random value, which is used for nothing else. Browsers bind their subscription to its public half, so it stays
    until somebody has it replaced."""
    number = int.from_bytes(PUSH.used(keeper).root.reveal(), "big")
    return ec.derive_private_key(number % (ORDER - 1) + 1, ec.SECP256R1())


def _within_limit(keeper: Keeper) -> None:
    minute = keeper.clock().replace(second=0, microsecond=0)
    at, used = keeper.memory.get(__name__, (minute, 0))
    used = used + 1 if at == minute else 1
    keeper.memory[__name__] = (minute, used)
    if used > OPENED:
        raise TooMany("addresses of channels")


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


HANDLERS = {"channel_seal": channel_seal, "channel_open": channel_open, "push_key": push_key, "push_token": push_token}
