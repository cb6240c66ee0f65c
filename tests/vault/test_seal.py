"""What the keeper hands out sealed comes back unchanged, in time and for its purpose, or not at all."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.samples import NOW
from vault.errors import BadRequest, Stale
from vault.seal import Seal
from vault.secret import Secret

SEAL = Seal(Secret(b"k" * 32))
BLOB = SEAL.seal("offer", {"seed": "S3CR3T"}, now=NOW, lifetime=300)


def test_it_opens_for_its_purpose_and_in_time():
    assert SEAL.open("offer", BLOB, now=NOW + timedelta(seconds=299))["seed"] == "S3CR3T"


def test_it_hides_what_it_holds_and_never_looks_the_same_twice():
    assert b"S3CR3T" not in base64.urlsafe_b64decode(BLOB + "==")
    assert SEAL.seal("offer", {"seed": "S3CR3T"}, now=NOW, lifetime=300) != BLOB


def test_it_is_too_old_after_its_lifetime():
    with pytest.raises(Stale):
        SEAL.open("offer", BLOB, now=NOW + timedelta(seconds=300))


def test_another_purpose_or_another_keepers_key_does_not_open_it():
    with pytest.raises(BadRequest):
        SEAL.open("challenge", BLOB, now=NOW)
    with pytest.raises(BadRequest):
        Seal(Secret(b"j" * 32)).open("offer", BLOB, now=NOW)


@given(st.text(max_size=200))
def test_nothing_else_opens(blob: str):
    with pytest.raises(BadRequest):
        SEAL.open("offer", blob, now=NOW)


@given(st.integers(0, len(BLOB) * 6 - 7))
def test_no_bit_can_be_turned(bit: int):
    raw = bytearray(base64.urlsafe_b64decode(BLOB + "=" * (-len(BLOB) % 4)))
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    with pytest.raises(BadRequest):
        SEAL.open("offer", base64.urlsafe_b64encode(bytes(raw)).decode(), now=NOW)
