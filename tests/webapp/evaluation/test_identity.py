"""The identity provider signs in only whom our web process sent, once: the mock behind it would let anybody be anybody."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jws import extract_compact
from werkzeug.test import Client, TestResponse

from vault.secret import Secret
from webapp.evaluation import signed
from webapp.evaluation.identity import CLIENT_ID, HINT, Identity, client_secret, login_hint
from webapp.evaluation.run import Run

ISSUER = "http://127.0.0.1:9001"
RUN = Run("http://localhost:8000", ISSUER, "http://127.0.0.1:9002", "http://127.0.0.1:9003", Secret("r" * 43))
OTHER_RUN = Run(RUN.public_url, RUN.identity, RUN.bank, RUN.mcp, Secret("q" * 43))


class Guarded:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.http = Client(Identity(RUN, clock=lambda: self.now))

    def hint(self, subject: str = "ada", run: Run = RUN) -> str:
        return login_hint(run, subject, self.now)

    def authorize(self, hint: str, method: str = "GET", **changed: str) -> TestResponse:
        query = {
            "client_id": CLIENT_ID, "redirect_uri": RUN.redirect_uri, "response_type": "code", "scope": "openid profile email",
            "state": "st", "nonce": signed.secrets.token_urlsafe(8), "login_hint": hint, **changed,
        }
        return self.http.open("/oauth2/authorize", method=method, query_string=query, base_url=ISSUER)

    def token(self, code: str, secret: str) -> TestResponse:
        basic = base64.b64encode(f"{CLIENT_ID}:{secret}".encode()).decode()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": RUN.redirect_uri}
        return self.http.post("/oauth2/token", data=form, headers={"Authorization": f"Basic {basic}"}, base_url=ISSUER)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Guarded()


def code(response: TestResponse) -> str:
    assert response.status_code == 302, response.text
    return parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]


def test_a_signed_hint_signs_in_the_person_it_names(guarded: Guarded) -> None:
    answer = guarded.token(code(guarded.authorize(guarded.hint("jonas"))), client_secret(RUN).reveal()).get_json()
    claims = extract_compact(answer["id_token"].encode()).payload
    assert b'"sub":"jonas"' in claims.replace(b" ", b"")


def test_a_hint_is_good_once(guarded: Guarded) -> None:
    hint = guarded.hint()
    code(guarded.authorize(hint))
    assert guarded.authorize(hint).status_code == 403


def test_a_hint_is_good_for_a_minute(guarded: Guarded) -> None:
    hint = guarded.hint()
    guarded.now += 60
    assert guarded.authorize(hint).status_code == 403


def test_a_hint_of_an_earlier_run_or_for_another_purpose_is_worth_nothing(guarded: Guarded) -> None:
    assert guarded.authorize(guarded.hint(run=OTHER_RUN)).status_code == 403
    entrance = signed.seal(RUN.key(HINT), "sign-in link", {"sub": "ada"}, now=guarded.now, lifetime=60)
    assert guarded.authorize(entrance).status_code == 403


def test_a_hint_cannot_be_made_anothers(guarded: Guarded) -> None:
    """The body is bound to its signature: Ada's hint does not become Jonas's."""
    payload, _, mac = guarded.hint("ada").partition(".")
    changed = signed._encode(signed._decode(payload).replace(b'"ada"', b'"jonas"'))
    assert guarded.authorize(f"{changed}.{mac}").status_code == 403
    assert guarded.authorize("ada").status_code == 403


def test_a_person_who_does_not_exist_here_is_not_made_up(guarded: Guarded) -> None:
    assert guarded.authorize(guarded.hint("root")).status_code == 403


def test_who_comes_without_a_hint_is_sent_to_choose_a_person(guarded: Guarded) -> None:
    sent = guarded.authorize("")
    assert (sent.status_code, sent.headers["Location"]) == (303, "http://localhost:8000/evaluation/people")


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/oauth2/authorize"), ("PUT", "/users/ada"), ("POST", "/users/ada/revoke-tokens"), ("POST", "/oauth2/clients"),
    ("GET", "/console"), ("GET", "/?__debugger__=yes&cmd=resource&f=debugger.js"), ("GET", "/oidc/login"),
    ("GET", "/oauth2/end_session"), ("POST", "/oauth2/end_session/confirm"), ("GET", "//oauth2/authorize"),
])
def test_nothing_else_of_the_mock_can_be_reached(guarded: Guarded, method: str, path: str) -> None:
    """Its login form, its user API, its registration, its debugger's console, its open redirect."""
    refused = guarded.http.open(path, method=method, base_url=ISSUER, data={"sub": "ada", "redirect_uri": "https://evil.example"})
    assert refused.status_code == 404


@pytest.mark.parametrize("changed", [
    {"redirect_uri": "http://localhost:8000/elsewhere"}, {"redirect_uri": "https://evil.example/sign-in/callback"},
    {"client_id": "x"},
])
def test_a_code_goes_to_one_address_alone(guarded: Guarded, changed: dict[str, str]) -> None:
    refused = guarded.authorize(guarded.hint(), **changed)
    assert refused.status_code == 400
    assert "Location" not in refused.headers


def test_a_code_is_redeemed_by_our_client_alone(guarded: Guarded) -> None:
    """The mock would take any secret."""
    assert guarded.token(code(guarded.authorize(guarded.hint())), "guess").status_code == 401
    form = {"grant_type": "authorization_code", "code": "x", "client_id": CLIENT_ID, "client_secret": "guess"}
    assert guarded.http.post("/oauth2/token", data=form, base_url=ISSUER).status_code == 401


def test_another_host_name_gets_nothing(guarded: Guarded) -> None:
    """The mock takes its issuer from the Host header."""
    refused = guarded.http.get("/.well-known/openid-configuration", base_url="http://evil.example:9001")
    assert refused.status_code == 421


def test_an_error_in_the_mock_shows_no_debugger(guarded: Guarded) -> None:
    answer = guarded.http.get("/userinfo", base_url=ISSUER, headers={"Authorization": "Bearer \x00"})
    assert answer.status_code >= 400
    assert "werkzeug" not in answer.text.lower()
