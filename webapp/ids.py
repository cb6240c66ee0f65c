"""Identifiers: a kind, and 128 bits that sort by time of making."""

from __future__ import annotations

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(kind: str) -> str:
    """`act_01h…`: 48 bits of milliseconds, then 80 random bits, in Crockford base32. Not a secret."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{kind}_" + "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
