"""What a token endpoint may answer, and what each answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from vault.errors import BadRequest, NeedsConsent, ProviderAway, ProviderRefused, Stale
from vault.providers.catalogue import load
from vault.record import Live, Record
from vault.secret import Secret
from vault.telling import last
from vault.transport import AnswerLost, Reply, Transport
from vault.upstream import (
    Discovery,
    Endpoints,
    Request,
    authorization_url,
    check_answer,
    parse_tokens,
    redeem,
    resolve,
    revoke,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def endpoints(name: str = "github", **record: Any) -> Endpoints:
    return resolve(load()[name], {"client_id": "me & you", "client_secret": "s:e/c", **record}, Transport(), Discovery())


def answered(status: int, body: Any) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), {})


MEANINGS: dict[str, tuple[int, Any, type[Exception]]] = {
    "a grant that is over": (400, {"error": "invalid_grant"}, NeedsConsent),
    "GitHub's way of saying so, with 200": (200, {"error": "bad_refresh_token"}, NeedsConsent),
    "Slack's way": (200, {"ok": False, "error": "invalid_refresh_token"}, NeedsConsent),
    "a wrong client": (401, {"error": "invalid_client"}, ProviderRefused),
    "an error nobody knows": (400, {"error": "<script>"}, ProviderRefused),
    "no JSON, 404": (404, b"<html>", ProviderRefused),
    "too busy": (429, {}, ProviderAway),
    "its own error": (500, {"error": "invalid_grant"}, ProviderAway),
    "too busy, in words": (400, {"error": "temporarily_unavailable"}, ProviderAway),
    "no token": (200, {}, AnswerLost),
    "a token that is none": (200, {"access_token": 7}, AnswerLost),
    "half of an answer": (200, b'{"access_token": "a', AnswerLost),
    "a list": (200, [], AnswerLost),
    "nested without end": (200, b"[" * 100_000, AnswerLost),
    "a redirect, which is not followed": (302, {}, ProviderRefused),
    "a token nobody can use": (200, {"access_token": "a", "token_type": "mac"}, ProviderRefused),
}


@pytest.mark.parametrize(("status", "body", "meaning"), MEANINGS.values(), ids=MEANINGS.keys())
def test_each_answer_means_one_thing(status: int, body: Any, meaning: type[Exception]) -> None:
    with pytest.raises(meaning) as caught:
        parse_tokens(answered(status, body), NOW)
    assert "script" not in getattr(caught.value, "hint", "")


def test_a_good_answer_is_read_whole() -> None:
    found = parse_tokens(answered(200, {
        "access_token": "a", "token_type": "bearer", "expires_in": "3600", "refresh_token": "r", "scope": "one,two one",
    }), NOW)
    assert (found.expires_at, found.scopes) == (NOW + timedelta(hours=1), ("one", "two"))
    assert found.refresh == Secret("r")
    assert "a" not in repr(found.access)


@pytest.mark.parametrize("seconds", [0, -1, "soon", None, 10**18])
def test_a_lifetime_that_is_none_is_not_believed(seconds: Any) -> None:
    found = parse_tokens(answered(200, {"access_token": "a", "expires_in": seconds}), NOW)
    assert found.expires_at is None or found.expires_at <= NOW + timedelta(days=400)


def query(url: str) -> Mapping[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}


def test_every_authorization_request_carries_pkce_and_a_state_of_its_own() -> None:
    at, redirect = endpoints(), "https://us.example/connections/callback/github"
    urls = [query(authorization_url(at, Request(), redirect_uri=redirect, scopes=["repo"])) for _ in range(2)]
    assert all(one["code_challenge_method"] == "S256" and len(one["code_challenge"]) == 43 for one in urls)
    assert len({one["state"] for one in urls}) == len({one["code_challenge"] for one in urls}) == 2
    assert "nonce" not in urls[0]


@pytest.mark.parametrize(("name", "secret", "proven"), [
    ("github", "s", True), ("slack", "s", False), ("slack", "", True), ("linkedin", "s", False), ("linkedin", "", True),
])
def test_a_code_is_redeemed_with_the_verifier_wherever_a_challenge_was_sent(name: str, secret: str, proven: bool) -> None:
    """LinkedIn and Slack refuse a code that comes with a secret and a verifier; without a secret nothing else proves it."""
    at = replace(endpoints(name), client_secret=Secret(secret))
    network = Recorder(200, {"access_token": "a", "token_type": at.facts.quirks.token_types[0]})
    asked = query(authorization_url(at, Request(), redirect_uri="https://us.example/cb", scopes=["x"]))
    redeem(at, network, code=Secret("c"), verifier="v", redirect_uri="https://us.example/cb", now=NOW)  # type: ignore[arg-type]
    assert ("code_challenge" in asked, "code_verifier=v" in network.sent[2]) == (proven, proven)
    assert ("s" in parse_qs(network.sent[2]).get("client_secret", []) or "Authorization" in network.sent[3]) == bool(secret)


def test_a_lifetime_that_no_answer_names_is_the_documented_or_the_assumed_one() -> None:
    known, bare = load(), {"access_token": "a"}
    renewable = answered(200, {**bare, "refresh_token": "r"})
    assert parse_tokens(renewable, NOW, known["hubspot"]).expires_at == NOW + timedelta(seconds=1800)
    assert parse_tokens(renewable, NOW, known["todoist"]).expires_at == NOW + timedelta(hours=1)
    assert parse_tokens(renewable, NOW, known["notion"]).expires_at is None
    assert parse_tokens(answered(200, bare), NOW, known["hubspot"]).expires_at is None


def test_the_answer_is_that_of_this_request_and_this_issuer() -> None:
    at = endpoints("google")
    check_answer(at, expected_state="s", state="s", iss=None)
    check_answer(at, expected_state="s", state="s", iss="https://accounts.google.com")
    with pytest.raises(Stale):
        check_answer(at, expected_state="s", state="t", iss=None)
    with pytest.raises(ProviderRefused):
        check_answer(at, expected_state="s", state="s", iss="https://accounts.google.com.evil.example")


@pytest.mark.parametrize("url", [
    "http://github.example/token", "https://a@github.example/token", "ftp://github.example", "//github.example", "https://x/#f",
])
def test_tokens_go_over_https_alone(url: str) -> None:
    with pytest.raises(BadRequest):
        endpoints(token_url=url)


class Recorder:
    """Stands in for the network: what was sent, and one answer."""

    def __init__(self, status: int, body: Any) -> None:
        self.reply = answered(status, body)
        self.sent: tuple[Any, ...] = ()

    def send(self, method: str, url: str, *, body: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        self.sent = (method, url, body, dict(headers or {}))
        return self.reply


WAYS: dict[str, tuple[str, int, Any, str]] = {
    "github": ("github", 204, b"", "confirmed"), "github, gone already": ("github", 404, {}, "confirmed"),
    "google": ("google", 200, {}, "confirmed"),
    "google, unsupported": ("google", 400, {"error": "unsupported_token_type"}, "unsupported"),
    "slack": ("slack", 200, {"ok": True}, "confirmed"),
    "slack, busy": ("slack", 200, {"ok": False, "error": "ratelimited"}, "pending"),
    "slack, gone": ("slack", 200, {"ok": False, "error": "token_revoked"}, "confirmed"),
    "microsoft": ("microsoft", 200, {}, "unsupported"), "gitlab, broken": ("gitlab", 500, {}, "pending"),
}


@pytest.mark.parametrize(("name", "status", "body", "outcome"), WAYS.values(), ids=WAYS.keys())
def test_each_provider_is_told_in_its_own_way(name: str, status: int, body: Any, outcome: str) -> None:
    recorder = Recorder(status, body)
    assert revoke(endpoints(name), recorder, token=Secret("the-token"), hint="access_token") == outcome  # type: ignore[arg-type]
    if name == "github":
        assert recorder.sent[:2] == ("DELETE", "https://api.github.com/applications/me%20%26%20you/token")
    if recorder.sent:
        assert "the-token" not in recorder.sent[1]


def asked(name: str) -> tuple[Any, Mapping[str, str]]:
    """What a revocation sends, and with which headers."""
    recorder = Recorder(200, {})
    assert revoke(endpoints(name), recorder, token=Secret("the-token"), hint="access_token") == "confirmed"  # type: ignore[arg-type]
    _method, _url, body, headers = recorder.sent
    sent = json.loads(body) if body.startswith("{") else {key: value[0] for key, value in parse_qs(body).items()}
    return sent, headers


def test_a_revocation_shows_token_and_client_as_the_provider_reads_them() -> None:
    """Else it answers an error for ever, and a person is never told that the access has ended."""
    webflow, _headers = asked("webflow")
    assert (webflow["access_token"], webflow["client_secret"]) == ("the-token", "s:e/c")
    assert "token" not in webflow
    todoist, headers = asked("todoist")
    assert headers["Authorization"].startswith("Basic ")
    assert "client_secret" not in todoist
    calendly, headers = asked("calendly")
    assert "Authorization" not in headers
    assert (calendly["token"], calendly["client_secret"]) == ("the-token", "s:e/c")


def test_where_only_access_tokens_can_be_revoked_no_refresh_token_is_shown() -> None:
    live = Live("tok", Secret("access"), "", (), (), None)
    record = Record("ada", "any", "any", "1", "", (), "active", Secret("refresh"), "", live=(live,))
    catalogue = load()
    assert last(catalogue["twitch"], record) == (Secret("access"), "access_token")
    assert last(catalogue["gitlab"], record) == (Secret("refresh"), "refresh_token")
    assert last(catalogue["slack"], record)[0] == Secret("access")


def test_a_token_that_shows_itself_stands_in_the_body_too_where_the_provider_asks_for_it() -> None:
    digitalocean, headers = asked("digitalocean")
    assert (digitalocean, headers["Authorization"]) == ({"token": "the-token"}, "Bearer the-token")
    dropbox, _headers = asked("dropbox")
    assert dropbox == {}
