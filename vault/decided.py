"""The document of a decision: what a passkey signs, and what the keeper signs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vault.evidence import canonical, digest

DOMAIN = b"counterseal/decision/v1\n"


def challenge(verdict: str, nonce: bytes, envelope: bytes) -> bytes:
    """What the passkey signs: SHA-256 over a domain string, the verdict, a nonce and the envelope's digest. The nonce has 32
    bytes and the verdict no line feed, so that no two inputs have one encoding."""
    return challenge_for(verdict, nonce, digest(envelope))


def challenge_for(verdict: str, nonce: bytes, envelope_digest: str) -> bytes:
    """The same, for whoever knows only the digest (hex)."""
    return hashlib.sha256(DOMAIN + verdict.encode() + b"\n" + nonce + bytes.fromhex(envelope_digest)).digest()


def authority_introduction(log: str, version: int, key: bytes) -> bytes:
    """What the log's key signs of a key that signs decisions. Not to be taken for a checkpoint, nor for the word on a next key:
    no log has this name (a mark is hexadecimal)."""
    return f"counterseal/authority-key/v1\n{log}\n{version}\n{key.hex()}\n".encode()


def stamp(at: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def body(
    *, envelope: bytes, action: str, person: str, name: str, groups: tuple[str, ...], verdict: str, reason: str,
    factor: Mapping[str, Any], nonce: str, at: datetime, same_as: tuple[str, ...] = (),
    delegated: Mapping[str, Mapping[str, Any]] | None = None, matched: bool = False, decoy: bool = False,
) -> str:
    """The canonical JSON of a statement. `same_as`: other sign-ins of the same human; `delegated`: by group, on whose behalf
    they are in it (`vault.delegating`); `matched`: they typed the number of the action; `decoy`: nobody asked for the call. None
    is there where there is none."""
    return canonical({
        **({"matched": True} if matched else {}),
        **({"delegated": {group: dict(one) for group, one in delegated.items()}} if delegated else {}),
        **({"same_as": sorted(same_as)} if same_as else {}),
        **({"decoy": True} if decoy else {}),
        "v": 1, "kind": "decision", "action": action, "digest": digest(envelope), "person": person, "name": name,
        "groups": sorted(groups), "verdict": verdict, "reason": reason, "factor": dict(factor), "nonce": nonce, "at": stamp(at),
    }).decode()
