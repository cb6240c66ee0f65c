"""`requestState` is in an attacker's hands between two legs: it says nothing but what we sealed, to whom we gave it."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.door import AppKey, Door
from vault.errors import KeeperAway
from vault.secret import Secret
from webapp.gateway.request_state import Bound, RequestStates, State
from webapp.gateway.wire import RpcError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = Bound("per_alice", "grant_1", "bank", "tools/call", "d" * 64)
KEY = os.urandom(32)


@dataclass(frozen=True)
class KeyDoor(Door):
    key: bytes = KEY

    def app_keys(self, purpose: str) -> tuple[AppKey, ...]:
        assert purpose == "request-state"
        return (AppKey(Secret(self.key), NOW, None),)


@dataclass(frozen=True)
class Away(Door):
    def app_keys(self, purpose: str) -> tuple[AppKey, ...]:
        raise KeeperAway


STATES = RequestStates(KeyDoor(Path("none")))
STATE = State("act_1", 3, "the server's own")


def test_what_was_sealed_comes_back_in_every_process() -> None:
    sealed = STATES.seal(STATE, ALICE, NOW)
    assert RequestStates(KeyDoor(Path("none"))).open(sealed, ALICE, NOW) == STATE
    assert "act_1" not in sealed
    assert b"act_1" not in base64.urlsafe_b64decode(sealed + "==")


@pytest.mark.parametrize("other", [
    replace(ALICE, person="per_bob"), replace(ALICE, grant="grant_2"), replace(ALICE, server="mail"),
    replace(ALICE, method="tasks/get"), replace(ALICE, digest="e" * 64),
])
def test_another_principal_or_request_cannot_use_it(other: Bound) -> None:
    with pytest.raises(RpcError) as caught:
        STATES.open(STATES.seal(STATE, ALICE, NOW), other, NOW)
    assert caught.value.code == -32602


@pytest.mark.parametrize("age", [timedelta(hours=1, seconds=1), timedelta(days=9), timedelta(seconds=-61)])
def test_it_is_good_for_an_hour_and_not_from_the_future(age: timedelta) -> None:
    with pytest.raises(RpcError):
        STATES.open(STATES.seal(STATE, ALICE, NOW), ALICE, NOW + age)


def test_a_state_of_another_installation_is_none() -> None:
    foreign = RequestStates(KeyDoor(Path("none"), key=os.urandom(32))).seal(STATE, ALICE, NOW)
    with pytest.raises(RpcError):
        STATES.open(foreign, ALICE, NOW)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_single_changed_byte_is_noticed(place: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(STATES.seal(STATE, ALICE, NOW) + "=="))
    raw[place % len(raw)] ^= change
    with pytest.raises(RpcError):
        STATES.open(base64.urlsafe_b64encode(raw).decode().rstrip("="), ALICE, NOW)


@given(st.text(max_size=300))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(RpcError):
        STATES.open(text, ALICE, NOW)


def test_a_huge_one_is_refused_unread() -> None:
    with pytest.raises(RpcError):
        STATES.open("A" * 20_000, ALICE, NOW)


def test_without_the_key_nothing_is_sealed_or_believed() -> None:
    states = RequestStates(Away(Path("none")))
    with pytest.raises(KeeperAway):
        states.seal(STATE, ALICE, NOW)
    with pytest.raises(KeeperAway):
        states.open(STATES.seal(STATE, ALICE, NOW), ALICE, NOW)
