"""Harbour Bank keeps OAuth's promises and pays once: it is what a newcomer believes, and what the keeper is tried against."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from vault.secret import Secret
from webapp.evaluation.bank import ledger
from webapp.evaluation.bank.app import Bank, make
from webapp.evaluation.bank.oauth import Client
from webapp.evaluation.bank.store import Store

ISSUER = "http://127.0.0.1:9000"
BACK = "http://localhost:8000/connections/callback"
CLIENT = Client("counterseal", "s3cret", "Counterseal", (BACK,))
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ALL = "accounts:read payees:read payments:send"
ORDER = {"amount": "480.00", "currency": "EUR", "iban": "DE89 3704 0044 0532 0130 00", "payee": "Nordlicht Energie GmbH",
         "reference": "RE-2026-1088"}


class Customer:
    """A browser at the bank and our client's back channel, with a clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        store = Store(folder / "bank.sqlite", now=self.now)
        self.bank = Bank(store, issuer=ISSUER, client=CLIENT, key=Secret(b"k" * 32), clock=lambda: self.now)
        self.app = make(self.bank)
        self.browser = self.client()

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def ask(self, browser: FlaskClient | None = None, **changed: str) -> TestResponse:
        query = {
            "response_type": "code", "client_id": CLIENT.id, "redirect_uri": BACK, "scope": ALL, "state": "st",
            "code_challenge": CHALLENGE, "code_challenge_method": "S256", **changed,
        }
        return (browser or self.browser).get("/oauth/authorize", query_string=query, base_url=ISSUER)

    def allow(self, page: TestResponse, browser: FlaskClient | None = None, **form: str) -> TestResponse:
        found = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert found, page.text
        fields = {"ticket": found.group(1), "answer": "allow", "account": "acc-2291", **form}
        return (browser or self.browser).post("/oauth/authorize", data=fields, base_url=ISSUER)

    def code(self, **changed: str) -> str:
        return answer(self.allow(self.ask(**changed)))["code"]

    def token(self, secret: str = CLIENT.secret, **form: str) -> TestResponse:
        basic = base64.b64encode(f"{CLIENT.id}:{secret}".encode()).decode()
        return self.client().post("/oauth/token", data=form, headers={"Authorization": f"Basic {basic}"}, base_url=ISSUER)

    def redeem(self, code: str, **changed: str) -> TestResponse:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **changed}
        return self.token(**form)

    def connect(self, **changed: str) -> dict[str, str]:
        tokens: dict[str, str] = self.redeem(self.code(**changed)).get_json()
        return tokens

    def refresh(self, token: str, **form: str) -> TestResponse:
        return self.token(grant_type="refresh_token", refresh_token=token, **form)

    def revoke(self, token: str) -> None:
        done = self.client().post(
            "/oauth/revoke", data={"token": token, "client_id": CLIENT.id, "client_secret": CLIENT.secret}, base_url=ISSUER
        )
        assert done.status_code == 200

    def get(self, token: str, path: str = "/api/balance") -> TestResponse:
        return self.client().get(path, headers={"Authorization": f"Bearer {token}"}, base_url=ISSUER)

    def pay(self, token: str, key: str | None = None, **changed: object) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
        return self.client().post("/api/payments", json={**ORDER, **changed}, headers=headers, base_url=ISSUER)


def answer(response: TestResponse) -> dict[str, str]:
    assert response.status_code == 303, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.location).query).items()}


@pytest.fixture
def customer(tmp_path: Path) -> Customer:
    return Customer(tmp_path)


def test_a_customer_who_allows_it_is_connected_to_the_account_they_chose(customer: Customer) -> None:
    tokens = customer.redeem(answer(customer.allow(customer.ask(), account="acc-7744"))["code"]).get_json()
    assert customer.get(tokens["access_token"]).get_json()["balance"] == "125000.00"
    assert customer.get(tokens["access_token"], "/api/customer").get_json()["sub"] == "acc-7744"


def test_the_answer_names_its_issuer_and_returns_the_state(customer: Customer) -> None:
    """RFC 9207: so that a code of another provider is not taken here."""
    assert answer(customer.allow(customer.ask()))["iss"] == ISSUER
    assert answer(customer.allow(customer.ask(), answer="deny")) == {
        "error": "access_denied", "error_description": "You did not allow it.", "state": "st", "iss": ISSUER,
    }


@pytest.mark.parametrize("changed", [
    {"code_challenge": ""}, {"code_challenge": VERIFIER, "code_challenge_method": "plain"}, {"scope": ""},
    {"scope": "accounts:read everything"}, {"response_type": "token"},
])
def test_a_request_without_pkce_or_with_unknown_scopes_is_sent_back(customer: Customer, changed: dict[str, str]) -> None:
    assert "error" in answer(customer.ask(**changed))


@pytest.mark.parametrize("changed", [
    {"redirect_uri": BACK + "/"}, {"redirect_uri": "https://evil.example/"}, {"client_id": "other"},
])
def test_nobody_is_redirected_to_an_address_that_was_not_registered(customer: Customer, changed: dict[str, str]) -> None:
    refused = customer.ask(**changed)
    assert refused.status_code == 400
    assert "Location" not in refused.headers


def test_consent_shown_in_one_browser_cannot_be_given_in_another(customer: Customer) -> None:
    """CSRF: the ticket is bound to the visit's cookie."""
    assert customer.allow(customer.ask(), browser=customer.client()).status_code == 403


def test_a_code_is_worth_nothing_without_its_verifier_its_client_or_its_redirect_uri(customer: Customer) -> None:
    assert customer.redeem(customer.code(), code_verifier="w" * 43).get_json()["error"] == "invalid_grant"
    assert customer.redeem(customer.code(), redirect_uri=BACK + "2").get_json()["error"] == "invalid_grant"
    refused = customer.redeem(customer.code(), secret="guess")
    assert (refused.status_code, refused.get_json()["error"]) == (401, "invalid_client")


def test_a_code_lives_a_minute(customer: Customer) -> None:
    code = customer.code()
    customer.now += 60
    assert customer.redeem(code).get_json()["error"] == "invalid_grant"


def test_a_code_that_comes_twice_ends_what_it_gave(customer: Customer) -> None:
    """RFC 6749 section 4.1.2."""
    code = customer.code()
    tokens = customer.redeem(code).get_json()
    assert customer.redeem(code).status_code == 400
    assert customer.get(tokens["access_token"]).status_code == 401


def test_a_refresh_token_that_comes_twice_ends_the_whole_family(customer: Customer) -> None:
    """RFC 9700 section 4.14.2: the thief's and the owner's."""
    first = customer.connect()
    second = customer.refresh(first["refresh_token"]).get_json()
    assert customer.refresh(first["refresh_token"]).get_json()["error"] == "invalid_grant"
    assert customer.get(second["access_token"]).status_code == 401
    assert customer.refresh(second["refresh_token"]).get_json()["error"] == "invalid_grant"


def test_a_refresh_narrows_the_access_token_and_not_the_grant(customer: Customer) -> None:
    tokens = customer.connect()
    narrow = customer.refresh(tokens["refresh_token"], scope="accounts:read").get_json()
    assert customer.pay(narrow["access_token"]).status_code == 403
    assert customer.get(tokens["access_token"]).status_code == 200, "an earlier access token lives on"
    wide = customer.refresh(narrow["refresh_token"], scope=ALL).get_json()
    assert customer.pay(wide["access_token"]).status_code == 201


def test_a_refresh_for_more_than_was_granted_is_refused_and_costs_nothing(customer: Customer) -> None:
    tokens = customer.connect(scope="accounts:read")
    assert customer.refresh(tokens["refresh_token"], scope=ALL).get_json()["error"] == "invalid_scope"
    assert customer.refresh(tokens["refresh_token"]).status_code == 200


def test_revoking_an_access_token_ends_it_alone_and_a_refresh_token_everything(customer: Customer) -> None:
    tokens = customer.connect()
    other = customer.refresh(tokens["refresh_token"]).get_json()
    customer.revoke(tokens["access_token"])
    assert customer.get(tokens["access_token"]).status_code == 401
    assert customer.get(other["access_token"]).status_code == 200
    customer.revoke(other["refresh_token"])
    assert customer.get(other["access_token"]).status_code == 401


def test_an_access_token_ends_after_ten_minutes(customer: Customer) -> None:
    tokens = customer.connect()
    customer.now += 600
    assert customer.get(tokens["access_token"]).status_code == 401


def test_the_same_key_pays_once_and_another_order_under_it_is_refused(customer: Customer) -> None:
    token = customer.connect()["access_token"]
    first, again = customer.pay(token, "act_1").get_json(), customer.pay(token, "act_1").get_json()
    assert first == again
    assert customer.pay(token, "act_1", amount="481.00").status_code == 409
    assert customer.get(token).get_json()["balance"] == "41683.80"


def test_a_payee_is_known_after_the_first_payment(customer: Customer) -> None:
    token = customer.connect()["access_token"]
    before = {payee["name"] for payee in customer.get(token, "/api/payees").get_json()["payees"]}
    customer.pay(token)
    latest = customer.get(token, "/api/payees").get_json()["payees"][0]
    assert "Nordlicht Energie GmbH" not in before
    assert (latest["name"], latest["iban"], latest["payments"]) == ("Nordlicht Energie GmbH", "DE89370400440532013000", 1)


@pytest.mark.parametrize(("changed", "code"), [
    ({"amount": "42163.81"}, "insufficient_funds"), ({"iban": "DE89370400440532013001"}, "bad_iban"),
    ({"iban": "DE02120300000000202051"}, "same_account"), ({"currency": "USD"}, "bad_currency"), ({"payee": ""}, "bad_order"),
    ({"amount": 480}, "bad_amount"), ({"amount": "0.00"}, "bad_amount"), ({"amount": "-1.00"}, "bad_amount"),
    ({"amount": "4,800.00"}, "bad_amount"), ({"amount": "1e3"}, "bad_amount"), ({"amount": "1.001"}, "bad_amount"),
    ({"amount": "٤٨٠"}, "bad_amount"),
])
def test_an_order_that_cannot_be_paid_moves_nothing(customer: Customer, changed: dict[str, object], code: str) -> None:
    token = customer.connect()["access_token"]
    refused = customer.pay(token, **changed)
    assert (refused.status_code, refused.get_json()["error"]) == (422, code)
    assert customer.get(token).get_json()["balance"] == "42163.80"


def test_another_host_name_gets_nothing(customer: Customer) -> None:
    """DNS rebinding."""
    assert customer.browser.get("/", base_url="http://bank.evil.example:9000").status_code == 421


def test_no_token_is_in_the_banks_file(customer: Customer) -> None:
    tokens = customer.connect()
    raw = customer.bank.store.path.read_bytes()
    assert tokens["access_token"].encode() not in raw
    assert tokens["refresh_token"].encode() not in raw


@given(st.integers(1, 10**12 - 1))
def test_an_amount_is_written_and_read_alike(minor: int) -> None:
    assert ledger.read_order({**ORDER, "amount": ledger.major(minor)}).amount_minor == minor
