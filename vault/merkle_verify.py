"""Verify an RFC 6962 consistency proof. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").digest()
"""Root of the tree without entries (RFC 6962 section 2.1)."""


class Inconsistent(Exception):
    """The second tree does not extend the first, or the proof does not show that it does."""


def consistent(*, size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2, with the two cases it leaves out: an empty first tree is extended by any, and equal sizes
    need equal roots; neither has a proof. Raises Inconsistent."""
    if not 0 <= size1 <= size2:
        raise Inconsistent("the second tree is smaller")
    if size1 in (0, size2):
        expected = EMPTY if size1 == 0 else root2
        if proof or not hmac.compare_digest(root1, expected):
            raise Inconsistent("the roots differ")
        if size2 == 0 and not hmac.compare_digest(root2, EMPTY):
            raise Inconsistent("not the empty root")
        return
    _walk(size1, root1, size2, root2, list(proof))


def _walk(size1: int, root1: bytes, size2: int, root2: bytes, path: list[bytes]) -> None:
    if any(len(node) != 32 for node in path):
        raise Inconsistent("a node is not 32 bytes")
    if not path:
        raise Inconsistent("no proof")
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for node in path[1:]:
        if sn == 0:
            raise Inconsistent("the proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = _node(node, fr), _node(node, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = _node(sr, node)
        fn, sn = fn >> 1, sn >> 1
    if sn or not hmac.compare_digest(fr, root1) or not hmac.compare_digest(sr, root2):
        raise Inconsistent("the proof does not lead to both roots")


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
