"""Addresses of channels are sealed for one channel; and push services are given the word of this installation."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.clock import Clock
from tests.keeper_parts import KeeperParts
from vault import notices
from vault.errors import BadRequest, TooMany
from vault.secret import Secret


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_address_opens_for_its_own_channel_alone(keeper: KeeperParts) -> None:
    sealed = keeper.door.channel_seal(channel="chn_1", url=Secret("ntfy://desk"))
    assert "ntfy" not in sealed
    assert keeper.door.channel_open(channel="chn_1", sealed=sealed).reveal() == "ntfy://desk"
    with pytest.raises(BadRequest):
        keeper.door.channel_open(channel="chn_2", sealed=sealed)
    with pytest.raises(BadRequest):
        keeper.door.channel_open(channel="chn_1", sealed=sealed[:-4] + "AAAA")


def test_a_sealed_blob_of_another_purpose_is_no_address(keeper: KeeperParts, clock: Clock) -> None:
    """Attack: the blob of a sign-in that was begun is handed in as an address, to read what is in it."""
    inside = keeper.inside(clock)
    other = inside.seal.seal("sign_in", {"id": "chn_1", "url": "x"}, now=clock(), lifetime=600)
    with pytest.raises(BadRequest):
        notices.channel_open(inside, {"channel": "chn_1", "sealed": other})


def test_not_all_addresses_can_be_read_at_once(keeper: KeeperParts, clock: Clock) -> None:
    inside = keeper.inside(clock)
    sealed = notices.channel_seal(inside, {"channel": "chn_1", "url": "ntfy://desk"})["sealed"]
    inside.memory[notices.__name__] = (clock().replace(second=0, microsecond=0), notices.OPENED)
    with pytest.raises(TooMany):
        notices.channel_open(inside, {"channel": "chn_1", "sealed": sealed})
    clock.forward(minutes=1)
    assert notices.channel_open(inside, {"channel": "chn_1", "sealed": sealed})["url"] == "ntfy://desk"


def test_the_word_for_a_push_service_verifies_with_the_public_key_and_names_that_service_alone(keeper: KeeperParts) -> None:
    """RFC 8292 section 2: ES256, `aud` is the origin, `exp` within a day."""
    token = keeper.door.push_token(audience="https://push.example", subject="mailto:ops@example.com").reveal()
    head, claims, signature = token.split(".")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _raw(keeper.door.push_key()))
    raw = _raw(signature)
    signed = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(signed, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    assert json.loads(_raw(head)) == {"typ": "JWT", "alg": "ES256"}
    assert json.loads(_raw(claims))["aud"] == "https://push.example"
    assert keeper.door.push_key() == keeper.door.push_key()


@pytest.mark.parametrize("audience", [
    "http://push.example", "https://push.example/x", "https://", "https://a b", "push.example", "https://push.example#x",
])
def test_the_word_is_given_for_an_https_origin_and_nothing_else(keeper: KeeperParts, audience: str) -> None:
    with pytest.raises(BadRequest):
        keeper.door.push_token(audience=audience, subject="mailto:ops@example.com")


def test_an_address_still_opens_when_the_keepers_seal_was_replaced(keeper: KeeperParts, clock: Clock) -> None:
    """What that seals lives for minutes; an address stays for years."""
    inside = keeper.inside(clock)
    sealed = notices.channel_seal(inside, {"channel": "chn_1", "url": "ntfy://desk"})["sealed"]
    with pytest.raises(BadRequest):
        inside.seal.open(notices.CHANNEL, sealed, now=clock())
    assert notices.channel_open(inside, {"channel": "chn_1", "sealed": sealed})["url"] == "ntfy://desk"
