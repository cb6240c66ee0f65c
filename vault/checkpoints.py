"""The audit log's head: signed as a C2SP checkpoint (https://c2sp.org/tlog-checkpoint), published once, never taken back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from vault.authority import keys, sign
from vault.errors import HeadMoved, HeadRefused, VaultAway
from vault.kv import CasConflict, Record
from vault.mark import mark
from vault.merkle_verify import EMPTY, Inconsistent, consistent
from vault.signatures import split
from vault.table import Body, Keeper, number, raw, raws

HEAD = "log/head"
ED25519 = b"\x01"
"""Signature type of a signed note (https://c2sp.org/signed-note)."""


def log_head(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    size, root = _published(keeper.kv.read(HEAD))
    return {"size": size, "root": base64.b64encode(root).decode()}


def sign_checkpoint(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """1. The new head extends the published one. 2. Sign. 3. Publish by check-and-set. The note leaves only after that, so two
    heads that do not extend each other are never both out. `after`, where it is given, is the size that the proof begins at:
    whoever was overtaken hears that, and not that their log was forked."""
    size, root = number(body, "size"), raw(body, "root", limit=64)
    proof = raws(body, "proof", most=128)
    found = keeper.kv.read(HEAD)
    before, known = _published(found)
    if body.get("after") is not None and number(body, "after") != before:
        raise HeadMoved(f"{before} is published")
    try:
        consistent(size1=before, root1=known, size2=size, root2=root, proof=proof)  # 1
    except Inconsistent as error:
        raise HeadRefused(f"{size} does not extend {before}: {error}") from error
    if found is not None and size == before:
        return {"note": found.data["note"]}
    note = _note(keeper, size, root)  # 2
    record = {"size": size, "root": base64.b64encode(root).decode(), "note": note, "at": keeper.clock().isoformat()}
    try:
        keeper.kv.write(HEAD, record, found.version if found else 0)  # 3
    except CasConflict as error:
        raise HeadMoved("another head was published at the same moment") from error
    return {"note": note}


def _published(found: Record | None) -> tuple[int, bytes]:
    return (int(found.data["size"]), base64.b64decode(found.data["root"])) if found else (0, EMPTY)


def _note(keeper: Keeper, size: int, root: bytes) -> str:
    name = origin(keeper)
    text = f"{name}\n{size}\n{base64.b64encode(root).decode()}\n"
    version, signature = split(sign(keeper, "audit", text.encode()))
    known = keys(keeper, "audit")
    if version not in known:
        keeper.memory.pop("keys/audit", None)
        known = keys(keeper, "audit")
    if version not in known:
        raise VaultAway(f"no public key for version {version}")
    return f"{text}\n— {name} {base64.b64encode(key_hash(name, known[version]) + signature).decode()}\n"


def origin(keeper: Keeper) -> str:
    """The log's name, and its keys'."""
    return f"counterseal/{mark(keeper).id}"


def key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """As in C2SP signed-note: `name+hash+base64(0x01 || public key)`."""
    return f"{name}+{key_hash(name, public).hex()}+{base64.b64encode(ED25519 + public).decode()}"


HANDLERS = {"log_head": log_head, "sign_checkpoint": sign_checkpoint}
