"""Logout tokens made by hand, one lie each: none is believed."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.vault.test_id_token import EC, NOW, RSA, URL, Published, signed
from vault import logout
from vault.errors import ProviderRefused
from vault.id_token import OLDEST, SKEW, Keys
from vault.logout import EVENT, verify
from vault.secret import Secret

AT = int(NOW.timestamp())


def claims(**changes: Any) -> dict[str, Any]:
    made = {
        "iss": "https://idp.example", "aud": "counterseal", "iat": AT, "exp": AT + 120, "jti": "one", "sub": "alice", "sid": "s1",
        "events": {EVENT: {}}, **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def check(token: Secret[str]) -> dict[str, Any]:
    keys = Keys(Published(RSA, EC).fetch)
    return verify(token, keys, URL, issuer="https://idp.example", client_id="counterseal", now=NOW)


@pytest.mark.parametrize("changes", [
    {}, {"sid": None}, {"sub": None}, {"exp": None}, {"events": {EVENT: {}, "other": {}}}, {"iat": AT - 300}, {"iat": AT + 30},
    {"unknown": "ignored"},
], ids=["both", "sub", "sid", "no exp", "more events", "older", "clock behind", "unknown claim"])
def test_a_whole_one_is_believed(changes: dict[str, Any]) -> None:
    assert check(signed(claims(**changes), typ="logout+jwt"))["jti"] == "one"


@pytest.mark.parametrize("changes", [
    {"iss": "https://evil.example"}, {"iss": None}, {"aud": "another"}, {"aud": None}, {"aud": ["counterseal", "another"]},
    {"iat": None}, {"iat": AT - 700}, {"iat": AT + 120}, {"iat": True}, {"iat": "now"}, {"exp": AT - 61}, {"exp": "later"},
    {"jti": None}, {"jti": ""}, {"jti": 1}, {"jti": "x" * 256},
    {"sub": None, "sid": None}, {"sub": ""}, {"sid": ""}, {"sub": 7}, {"sid": ["s1"]}, {"sid": "x" * 256},
    {"events": None}, {"events": {}}, {"events": [EVENT]}, {"events": EVENT}, {"events": {EVENT: True}},
    {"events": {"other": {}}},
    {"nonce": "n"}, {"nonce": ""},
], ids=str)
def test_one_lie_and_it_is_not(changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderRefused):
        check(signed(claims(**changes), typ="logout+jwt"))


def test_an_id_token_is_no_logout_token() -> None:
    with pytest.raises(ProviderRefused):
        check(signed(claims(events=None, jti=None, sid=None, nonce="n")))


def test_its_jti_is_to_be_kept_as_long_as_it_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: one that was taken is sent again when it is forgotten. It may say no `exp`."""
    keys, clock = Keys(Published(RSA, EC).fetch), [NOW]
    at = SimpleNamespace(issuer="https://idp.example", client_id="counterseal", jwks_url=URL)
    monkeypatch.setattr(logout, "known_idp", lambda *_: (at, {}))
    monkeypatch.setattr(logout, "upstreams", lambda _: SimpleNamespace(keys=keys))
    keeper: Any = SimpleNamespace(clock=lambda: clock[0])
    ask = {"idp": "main", "token": signed(claims(exp=None), typ="logout+jwt").reveal()}
    until = datetime.fromisoformat(logout.logout_token(keeper, ask)["until"])
    clock[0] = NOW + timedelta(seconds=OLDEST + SKEW)
    assert logout.logout_token(keeper, ask)["jti"] == "one"
    assert until >= clock[0]
    clock[0] = until
    with pytest.raises(ProviderRefused):
        logout.logout_token(keeper, ask)


@pytest.mark.parametrize("typ", ["at+jwt", "id_token+jwt", "secevent+jwt", ""])
def test_a_token_that_says_it_is_another_kind_is_not_taken_for_one(typ: str) -> None:
    with pytest.raises(ProviderRefused):
        check(signed(claims(), typ=typ))


@pytest.mark.parametrize("typ", ["JWT", "Logout+JWT", "application/logout+jwt"])
def test_the_ways_it_may_say_so(typ: str) -> None:
    assert check(signed(claims(), typ=typ))["sub"] == "alice"


def test_the_key_and_the_algorithm_are_the_issuers() -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "ec"})
    with pytest.raises(ProviderRefused):
        check(signed(claims(), stranger, "ES256"))
    head, body, _signature = signed(claims(), EC, "ES256").reveal().split(".")
    for forged in (f"{head}.{body}.", "eyJhbGciOiJub25lIn0." + body + ".", "", "a.b.c", head):
        with pytest.raises(ProviderRefused):
            check(Secret(forged))
