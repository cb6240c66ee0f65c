"""The RFC 6962 tree: hashes, roots and proofs over stored nodes. Pure.

A node at (level, index) covers the leaves [index * 2**level, (index + 1) * 2**level). Only complete nodes are stored,
once, for ever.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence

NodeAt = Callable[[int, int], bytes]
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """RFC 6962 section 2.1: the prefix keeps a leaf from being read as a node."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def grown(size: int, leaves: Iterable[bytes], node_at: NodeAt) -> Iterator[tuple[int, int, bytes]]:
    """The complete nodes (level, index, hash) that appear when these leaf hashes are appended to a tree of `size`."""
    fresh: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves, size):
        level, at, value = 0, index, leaf
        fresh[level, at] = value
        yield level, at, value
        while at & 1:
            left = fresh.get((level, at - 1)) or node_at(level, at - 1)
            level, at, value = level + 1, at >> 1, node_hash(left, value)
            fresh[level, at] = value
            yield level, at, value


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def subtree(start: int, end: int, node_at: NodeAt) -> bytes:
    """MTH of the leaves [start, end), RFC 6962 section 2.1."""
    size = end - start
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0 and start % size == 0:
        return node_at(size.bit_length() - 1, start // size)
    k = _split(size)
    return node_hash(subtree(start, start + k, node_at), subtree(start + k, end, node_at))


def root(size: int, node_at: NodeAt) -> bytes:
    return subtree(0, size, node_at)


def inclusion(index: int, size: int, node_at: NodeAt) -> list[bytes]:
    """PATH(index, D[size]), RFC 6962 section 2.1.1."""
    if not 0 <= index < size:
        raise ValueError("no such leaf in a tree of this size")
    return _path(index, 0, size, node_at)


def _path(index: int, start: int, end: int, node_at: NodeAt) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, node_at), subtree(middle, end, node_at)]
    return [*_path(index, middle, end, node_at), subtree(start, middle, node_at)]


def consistency(first: int, second: int, node_at: NodeAt) -> list[bytes]:
    """PROOF(first, D[second]), RFC 6962 section 2.1.2; empty for an empty or an unchanged tree."""
    if not 0 <= first <= second:
        raise ValueError("a log only grows")
    if first in (0, second):
        return []
    return _subproof(first, 0, second, node_at, whole=True)


def _subproof(first: int, start: int, end: int, node_at: NodeAt, *, whole: bool) -> list[bytes]:
    if first == end - start:
        return [] if whole else [subtree(start, end, node_at)]
    k = _split(end - start)
    if first <= k:
        return [*_subproof(first, start, start + k, node_at, whole=whole), subtree(start + k, end, node_at)]
    return [*_subproof(first - k, start + k, end, node_at, whole=False), subtree(start, start + k, node_at)]


def included(leaf: bytes, index: int, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """RFC 9162 section 2.1.3.2: whether PATH(index, D[size]) leads from the leaf's hash to this root."""
    if not 0 <= index < size or any(len(node) != 32 for node in path):
        return False
    fn, sn, value = index, size - 1, leaf
    for node in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            value = node_hash(node, value)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = node_hash(value, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and hmac.compare_digest(value, root)


class Growing:
    """A root that grows leaf by leaf in O(log n) memory: what a verifier needs."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        at = self.size
        while at & 1:
            leaf, at = node_hash(self._peaks.pop(), leaf), at >> 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY_ROOT
        *rest, value = self._peaks
        for peak in reversed(rest):
            value = node_hash(peak, value)
        return value
