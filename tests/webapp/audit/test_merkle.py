"""The tree against the test vectors of the Certificate Transparency reference implementation, and against its own definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webapp.audit import merkle

# The eight leaves, roots and proofs of the reference implementation's tests (RFC 6962 SHA-256).
LEAVES = [bytes.fromhex(leaf) for leaf in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def tree(leaves: list[bytes], step: int = 1) -> merkle.NodeAt:
    """Nodes of a tree grown `step` leaves at a time."""
    nodes: dict[tuple[int, int], bytes] = {}
    for start in range(0, len(leaves), step):
        hashes = [merkle.leaf_hash(leaf) for leaf in leaves[start:start + step]]
        for level, index, value in list(merkle.grown(start, hashes, lambda lv, ix: nodes[lv, ix])):
            assert (level, index) not in nodes, "a stored node never changes"
            nodes[level, index] = value
    return lambda level, index: nodes[level, index]


def test_roots_are_those_of_the_reference() -> None:
    nodes = tree(LEAVES)
    assert [merkle.root(size, nodes).hex() for size in range(1, 9)] == ROOTS
    assert merkle.root(0, nodes).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_proofs_are_those_of_the_reference() -> None:
    nodes = tree(LEAVES)
    for (index, size), proof in INCLUSION.items():
        assert [h.hex() for h in merkle.inclusion(index, size, nodes)] == proof
    for (first, second), proof in CONSISTENCY.items():
        assert [h.hex() for h in merkle.consistency(first, second, nodes)] == proof


@given(st.integers(1, 70), st.integers(1, 9))
def test_growing_in_any_steps_and_leaf_by_leaf_gives_one_root(size: int, step: int) -> None:
    leaves = [bytes([i]) for i in range(size)]
    growing = merkle.Growing()
    for leaf in leaves:
        growing.add(merkle.leaf_hash(leaf))
    assert merkle.root(size, tree(leaves, step)) == growing.root() == merkle.root(size, tree(leaves))
