"""The log's head only grows, and what is signed verifies as a C2SP note."""

from __future__ import annotations

import base64
import hashlib
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tests.keeper_parts import KeeperParts
from vault.errors import HeadMoved, HeadRefused, KeeperError
from vault.merkle_verify import EMPTY, Inconsistent, consistent


def leaf(number: int) -> bytes:
    return hashlib.sha256(b"\0" + str(number).encode()).digest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def proof(size: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2."""
    if size == len(leaves):
        return [] if whole else [root(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if size <= half:
        return [*proof(size, leaves[:half], whole), root(leaves[half:])]
    return [*proof(size - half, leaves[half:], False), root(leaves[:half])]


LEAVES = [leaf(number) for number in range(70)]


@given(st.integers(0, 70), st.integers(0, 70))
def test_every_tree_extends_every_shorter_one(one: int, two: int):
    small, large = sorted((one, two))
    path = proof(small, LEAVES[:large]) if 0 < small < large else []
    consistent(size1=small, root1=root(LEAVES[:small]), size2=large, root2=root(LEAVES[:large]), proof=path)


@given(st.data())
def test_no_other_proof_does(data: st.DataObject):
    large = data.draw(st.integers(2, 70))
    small = data.draw(st.integers(1, large - 1))
    good = proof(small, LEAVES[:large])
    where = data.draw(st.integers(0, len(good) - 1))
    bad = data.draw(st.sampled_from([
        good[:-1], good[1:], [*good, leaf(999)], [leaf(999), *good], [],
        [*good[:where], leaf(999), *good[where + 1:]], [*good[:where], b"short", *good[where + 1:]], good[::-1] + [EMPTY],
    ]))
    with pytest.raises(Inconsistent):
        consistent(size1=small, root1=root(LEAVES[:small]), size2=large, root2=root(LEAVES[:large]), proof=bad)


@pytest.mark.parametrize(("size1", "root1", "size2", "root2"), [
    (2, root(LEAVES[:2]), 1, root(LEAVES[:1])), (2, root(LEAVES[:2]), 2, leaf(5)), (0, leaf(1), 2, root(LEAVES[:2])),
    (-1, EMPTY, 2, root(LEAVES[:2])), (0, EMPTY, 0, leaf(1)),
])
def test_a_smaller_an_equal_but_different_or_a_wrongly_empty_tree_is_refused(size1: int, root1: bytes, size2: int, root2: bytes):
    with pytest.raises(Inconsistent):
        consistent(size1=size1, root1=root1, size2=size2, root2=root2, proof=[])


def test_third_party_vectors():
    """From the reference implementation's tests (certificate-transparency-go, merkletree: the tree of 8 entries)."""
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    leaves = [hashlib.sha256(b"\0" + bytes.fromhex(one)).digest() for one in entries]
    roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    assert [root(leaves[: n + 1]).hex() for n in range(8)] == roots
    path = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    nodes = [bytes.fromhex(one) for one in path]
    consistent(size1=6, root1=bytes.fromhex(roots[5]), size2=8, root2=bytes.fromhex(roots[7]), proof=nodes)


class Log:
    """The log of this instance, as its honest owner knows it."""

    def __init__(self, parts: KeeperParts) -> None:
        self.door = parts.door
        self.leaves: list[bytes] = []

    def publish(self, leaves: list[bytes]) -> str:
        size, before = self.door.log_head()
        path = proof(size, leaves) if 0 < size < len(leaves) else []
        note = self.door.sign_checkpoint(size=len(leaves), root=root(leaves), proof=path)
        assert root(leaves[:size]) == before
        self.leaves = leaves
        return note

    def grow(self, by: int) -> str:
        return self.publish([*self.leaves, *(leaf(len(self.leaves) + n) for n in range(by))])


@pytest.fixture(scope="module")
def log(real_keeper: KeeperParts) -> Log:
    return Log(real_keeper)


def test_before_the_first_head_the_log_is_empty_and_any_head_extends_it(log: Log):
    assert log.door.log_head() == (0, EMPTY)
    log.grow(5)
    assert log.door.log_head() == (5, root(log.leaves))


def test_a_checkpoint_is_a_signed_note_of_the_instance(log: Log):
    """https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note, verified by hand."""
    note = log.grow(3)
    text, _, tail = note.partition("\n\n")
    origin, told, encoded = text.split("\n")
    assert (int(told), base64.b64decode(encoded)) == (len(log.leaves), root(log.leaves))
    assert origin.startswith("counterseal/")
    dash, name, blob = tail.strip("\n").split(" ")
    raw = base64.b64decode(blob)
    key = log.door.public_keys().audit[1]
    assert (dash, name) == ("—", origin)
    assert raw[:4] == hashlib.sha256(origin.encode() + b"\n\x01" + key).digest()[:4]
    Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], (text + "\n").encode())


def test_the_same_head_again_is_the_same_note(log: Log):
    note = log.grow(1)
    assert log.door.sign_checkpoint(size=len(log.leaves), root=root(log.leaves), proof=[]) == note


def test_a_restored_or_forked_log_is_refused_for_good(log: Log):
    log.grow(4)
    size, leaves = len(log.leaves), log.leaves
    fork = [*leaves[:-1], leaf(10**6)]
    for told, tree, path in (
        (size - 1, leaves[:-1], []), (size, fork, []), (size + 1, [*fork, leaf(7)], proof(size, [*fork, leaf(7)])),
        (0, [], []), (size + 1, [*leaves, leaf(7)], []),
    ):
        with pytest.raises(HeadRefused):
            log.door.sign_checkpoint(size=told, root=root(tree), proof=path)
    assert log.door.log_head() == (size, root(leaves))


def test_who_was_overtaken_hears_that_and_signs_nothing(log: Log):
    log.grow(2)
    size, leaves = len(log.leaves), [*log.leaves, leaf(8)]
    with pytest.raises(HeadMoved):
        log.door.sign_checkpoint(size=size + 1, root=root(leaves), proof=proof(size - 1, leaves), after=size - 1)
    assert log.door.log_head() == (size, root(log.leaves))


def test_of_many_forks_at_once_one_is_signed(log: Log):
    log.grow(1)
    size, before = len(log.leaves), log.leaves
    signed: list[list[bytes]] = []
    refused: list[str] = []

    def publish(number: int) -> None:
        tree = [*before, leaf(10**6 + number)]
        try:
            log.door.sign_checkpoint(size=size + 1, root=root(tree), proof=proof(size, tree))
            signed.append(tree)
        except KeeperError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(6)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert (len(signed), len(refused)) == (1, 5)
    assert set(refused) <= {"head_refused", "head_moved"}
    log.leaves = signed[0]
    log.grow(2)
