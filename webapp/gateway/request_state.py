"""`requestState`: what the gateway hands to a client between two legs of one call, and gets back from an attacker.

AES-256-GCM under a key of the keeper's. Bound to the principal, the grant, the server, the method and the digest of the call's
own parameters, and good for an hour (MCP 2026-07-28, Multi Round-Trip Requests, server requirements 4 and 5). It names an action;
it approves nothing. An upstream server's own state nests inside.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.door import Door
from webapp.canonical import canonical
from webapp.gateway.wire import INVALID_PARAMS, RpcError

PURPOSE: Final = "request-state"
BOUND_AS: Final = b"counterseal request-state v1"
LIFETIME: Final = 3600
"""Seconds. Each leg hands out a new one, so it need only outlive the person's look at a page."""
LONGEST: Final = 16_384
NONCE: Final = 12


@dataclass(frozen=True)
class Bound:
    """Whose state it is, and for which request."""

    person: str
    grant: str
    server: str
    method: str
    digest: str

    def mark(self) -> str:
        return hashlib.sha256(canonical([self.person, self.grant, self.server, self.method, self.digest])).hexdigest()


@dataclass(frozen=True)
class State:
    """`action`: the held action, or empty. `round`: how often this call was answered `input_required`. `upstream`: the
    server's own state, or empty."""

    action: str = ""
    round: int = 0
    upstream: str = ""


class _Body(TypedDict):
    """As sealed: mark, action, round, upstream's state, time in whole seconds."""

    m: str
    a: str
    r: int
    u: str
    t: int


class RequestStates:
    """Seals and opens. The key comes through the door once for each process, and is the same in all of them."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._cipher: AESGCM | None = None
        self._lock = threading.Lock()

    def seal(self, state: State, bound: Bound, now: datetime) -> str:
        """Raises KeeperError when the key is not known yet and the keeper is away."""
        body = {"m": bound.mark(), "a": state.action, "r": state.round, "u": state.upstream, "t": int(now.timestamp())}
        nonce = os.urandom(NONCE)
        sealed = nonce + self._key().encrypt(nonce, canonical(body), BOUND_AS)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str, bound: Bound, now: datetime) -> State:
        """Steps: 1. it decrypts; 2. it is this principal's, for this very request; 3. it is not too old, nor from the future.
        Raises RpcError -32602; the three look alike, but for age."""
        body = self._opened(text)
        if body["m"] != bound.mark():
            raise _invalid()
        age = int(now.timestamp()) - body["t"]
        if not -60 <= age <= LIFETIME:
            raise RpcError(INVALID_PARAMS, "requestState is too old. Call again without it, with identical arguments.")
        return State(body["a"], body["r"], body["u"])

    def _opened(self, text: str) -> _Body:
        if len(text) > LONGEST:
            raise _invalid()
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body: _Body = json.loads(self._key().decrypt(sealed[:NONCE], sealed[NONCE:], BOUND_AS))
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _invalid() from error
        return body

    def _key(self) -> AESGCM:
        with self._lock:
            known = self._cipher
        if known is None:
            known = AESGCM(self._door.app_key(PURPOSE).reveal())
            with self._lock:
                self._cipher = known
        return known


def _invalid() -> RpcError:
    return RpcError(INVALID_PARAMS, "requestState is not valid for this request.")
