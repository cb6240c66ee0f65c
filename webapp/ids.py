"""Identifiers: a kind, and 128 bits that sort by time of making."""

from __future__ import annotations

import base64
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())


_last = 0


def new_id(kind: str) -> str:
    """`act_01h…`: 48 bits of milliseconds, then 80 random bits, in Crockford base32. Not a secret.

    Ids that one thread makes one after the other sort in that order, within a millisecond too: the log is ordered by them. Of
    two threads at once either may be first, and random steps keep their ids apart without a lock."""
    global _last
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    if number >> 80 <= _last >> 80:
        number = _last + 1 + secrets.randbits(60)
    _last = number
    # Every call makes six: 130 bits, and 30 behind them that are cut off again, are whole bytes for the encoder in C.
    return f"{kind}_" + base64.b32encode((number << 30).to_bytes(20, "big"))[:26].translate(CROCKFORD).decode("ascii")
