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
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.door import Door
from webapp.canonical import canonical
from webapp.gateway.wire import INVALID_PARAMS, RpcError
from webapp.web.keys import AppKeys

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
    """Seals and opens. The keys come through the door and are the same in all processes."""

    def __init__(self, door: Door) -> None:
        self._keys = AppKeys(door, PURPOSE)

    def seal(self, state: State, bound: Bound, now: datetime) -> str:
        """Raises KeeperError when the key is not known yet and the keeper is away."""
        body = {"m": bound.mark(), "a": state.action, "r": state.round, "u": state.upstream, "t": int(now.timestamp())}
        nonce = os.urandom(NONCE)
        sealed = nonce + AESGCM(self._keys.current(now).reveal()).encrypt(nonce, canonical(body), BOUND_AS)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str, bound: Bound, now: datetime) -> State:
        """Steps: 1. it decrypts; 2. it is this principal's, for this very request; 3. it is not too old, nor from the future.
        Raises RpcError -32602; the three look alike, but for age."""
        body = self._opened(text, now)
        if body["m"] != bound.mark():
            raise _invalid()
        age = int(now.timestamp()) - body["t"]
        if not -60 <= age <= LIFETIME:
            raise RpcError(INVALID_PARAMS, "requestState is too old. Call again without it, with identical arguments.")
        return State(body["a"], body["r"], body["u"])

    def _opened(self, text: str, now: datetime) -> _Body:
        if len(text) > LONGEST:
            raise _invalid()
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise _invalid() from error
        for key in self._keys.all(now):
            try:
                body: _Body = json.loads(AESGCM(key.reveal()).decrypt(sealed[:NONCE], sealed[NONCE:], BOUND_AS))
            except (InvalidTag, ValueError):
                continue
            return body
        raise _invalid()


def _invalid() -> RpcError:
    return RpcError(INVALID_PARAMS, "requestState is not valid for this request.")
