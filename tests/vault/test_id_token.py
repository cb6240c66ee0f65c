"""ID tokens made by hand, one lie each: none is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from vault.errors import ProviderRefused
from vault.id_token import Asked, Keys, verify
from vault.secret import Secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
URL = "https://idp.example/keys"
ACCESS = Secret("the access token")
ASKED = Asked("https://idp.example", "counterseal", "nonce-1")


class Published:
    """What the provider publishes, and how often it was asked."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked = 0

    def fetch(self, _url: str) -> dict[str, Any]:
        self.asked += 1
        return {"keys": KeySet(list(self.keys)).as_dict(private=False)["keys"]}


def claims(**changes: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    made = {"iss": "https://idp.example", "sub": "alice", "aud": "counterseal", "exp": at + 300, "iat": at, "nonce": "nonce-1"}
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def signed(body: dict[str, Any], key: Any = RSA, alg: str = "RS256", **header: Any) -> Secret[str]:
    return Secret(jwt.encode({"alg": alg, "kid": key.kid, **header}, body, key, algorithms=[alg]))


def check(token: Secret[str], expected: Asked = ASKED, published: Published | None = None) -> dict[str, Any]:
    keys = Keys((published or Published(RSA, EC, ED)).fetch)
    return verify(token, keys, URL, expected=expected, access=ACCESS, now=NOW)


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_the_pinned_algorithms_are_believed(key: Any, alg: str) -> None:
    assert check(signed(claims(), key, alg))["sub"] == "alice"


LIES: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://idp.example/"},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "another audience": {"aud": "another"},
    "audience in a list without us": {"aud": ["a", "b"]},
    "several audiences, no azp": {"aud": ["counterseal", "other"]},
    "another azp": {"azp": "other"},
    "expired": {"exp": int(NOW.timestamp()) - 61},
    "no expiry": {"exp": None},
    "an expiry in words": {"exp": "tomorrow"},
    "no issue time": {"iat": None},
    "issued in the future": {"iat": int(NOW.timestamp()) + 120},
    "issued an hour ago": {"iat": int(NOW.timestamp()) - 3600},
    "not valid yet": {"nbf": int(NOW.timestamp()) + 120},
    "another nonce": {"nonce": "nonce-2"},
    "no nonce": {"nonce": None},
    "the hash of another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_lie_is_not_believed(lie: dict[str, Any]) -> None:
    with pytest.raises(ProviderRefused):
        check(signed(claims(**lie)))


@pytest.mark.parametrize(("key", "alg", "hashed"), [(RSA, "RS256", hashlib.sha256), (ED, "Ed25519", hashlib.sha512)])
def test_the_access_token_belongs_to_the_id_token(key: Any, alg: str, hashed: Any) -> None:
    whole = hashed(b"the access token").digest()
    half = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()
    assert check(signed(claims(at_hash=half), key, alg))


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def test_an_unsigned_token_is_not_believed() -> None:
    header = b64(json.dumps({"alg": "none"}).encode())
    with pytest.raises(ProviderRefused):
        check(Secret(f"{header}.{b64(json.dumps(claims()).encode())}."))


def test_a_token_signed_with_the_public_key_as_a_password_is_not_believed() -> None:
    """Key confusion: HS256 under the bytes of the RSA key that everybody can read."""
    header = b64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    body = f"{header}.{b64(json.dumps(claims()).encode())}"
    signature = hmac.new(RSA.as_pem(private=False), body.encode(), hashlib.sha256).digest()
    with pytest.raises(ProviderRefused):
        check(Secret(f"{body}.{b64(signature)}"))


def test_a_token_by_another_key_of_the_same_name_is_not_believed() -> None:
    with pytest.raises(ProviderRefused):
        check(signed(claims(), RSAKey.generate_key(2048, {"kid": "rsa"})))


def test_a_new_key_is_fetched_once_and_made_up_ones_do_not_hammer_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    published = Published(RSA)
    keys = Keys(published.fetch)
    at = [1000.0]
    monkeypatch.setattr("vault.id_token.time.monotonic", lambda: at[0])

    def ask(token: Secret[str]) -> dict[str, Any]:
        return verify(token, keys, URL, expected=ASKED, access=None, now=NOW)

    ask(signed(claims()))
    published.keys.append(EC)
    at[0] += 11
    assert ask(signed(claims(), EC, "ES256"))
    assert published.asked == 2
    for _ in range(5):
        with pytest.raises(ProviderRefused):
            ask(signed(claims(), ED, "Ed25519"))
    assert published.asked == 2


@pytest.mark.parametrize("garbage", ["", "a.b.c", "....", "\u00e9.\u00e9.\u00e9", "e30.e30.e30"])
def test_garbage_is_refused_and_nothing_else(garbage: str) -> None:
    with pytest.raises(ProviderRefused):
        check(Secret(garbage))


def test_what_was_asked_of_the_sign_in_is_required() -> None:
    at = int(NOW.timestamp())
    strict = Asked("https://idp.example", "counterseal", "nonce-1", ("strong",), 300)
    assert check(signed(claims(acr="strong", auth_time=at - 200)), strict)
    for weak in (
        {"acr": "weak", "auth_time": at}, {"auth_time": at}, {"acr": "strong"}, {"acr": "strong", "auth_time": at - 900}
    ):
        with pytest.raises(ProviderRefused):
            check(signed(claims(**weak)), strict)


@pytest.mark.parametrize("used", [None, [], ["pwd"], "otp", {"otp": 1}])
def test_a_sign_in_without_one_of_the_methods_asked_for_is_refused(used: object) -> None:
    asked = Asked("https://idp.example", "counterseal", "nonce-1", amr_values=("otp", "hwk"))
    assert check(signed(claims(amr=["pwd", "otp"])), asked)
    with pytest.raises(ProviderRefused):
        check(signed(claims(amr=used)), asked)
