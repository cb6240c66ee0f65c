"""What providers really answer: each shape is spoken by a real server, and the account is connected, used and taken back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, serve
from tests.vault.accounts import OWNER, connected, mint, name_of, stored
from vault import accounts, connecting
from vault.errors import NeedsConsent, ProviderRefused
from vault.providers.catalogue import ProviderFacts, load
from vault.table import Keeper
from vault.upstreams import upstreams

JSON = "application/json"
REDIRECT = "http://localhost:8000/connections/callback"
Say = Callable[[dict[str, Any], str], tuple[str, bytes]]


@pytest.fixture
def inside(keeper: KeeperParts, clock: Clock) -> Iterator[Keeper]:
    made = keeper.inside(clock)
    yield made
    made.vault.wire.close()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as made:
        yield made


def saying(change: Callable[[dict[str, Any], str], dict[str, Any]]) -> Say:
    return lambda answer, grant: (JSON, json.dumps(change(answer, grant)).encode())


def known(keeper: Keeper, name: str, provider: Scripted, **more: Any) -> ProviderFacts:
    """The shipped entry, spoken by the scripted server under the paths it has; only money and deletion are let go freely here."""
    shipped = load()[name]
    mild = {scope: one.model_copy(update={"effect": "send"}) for scope, one in shipped.scopes.items()}
    values = {"host": "unused", "shop": "unused", "subdomain": "unused"}
    facts = shipped.model_copy(update={"scopes": mild, "placeholders": {}, "values": values, "authorize_url": "", "token_url": "",
        "revoke_url": "", "userinfo_url": "", "refresh_url": "", "issuer": "", "jwks_url": "", **more})
    upstreams(keeper).catalogue = lambda: type(load())({**load(), name: facts}, {}, [])
    ends = "revoke" if facts.revoke_style == "rfc7009" else "told"
    record = {
        "client_id": "counterseal", "client_secret": "scripted-client-secret", "authorize_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token", "revoke_url": f"{provider.url}/{ends}",
    }
    if shipped.userinfo_url:
        record["userinfo_url"] = f"{provider.url}/userinfo"
    if shipped.refresh_url:
        record["refresh_url"] = f"{provider.url}/token/refresh"
    accounts.provider_put(keeper, {"name": name, "record": record})
    return facts


def begin(keeper: Keeper, name: str, scopes: tuple[str, ...] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    asked = list(scopes or load()[name].default_scopes)
    begun = dict(connecting.connect_begin(keeper, {
        "provider": name, "person": OWNER, "redirect_uri": REDIRECT, "scopes": asked,
    }))
    return begun, {key: values[0] for key, values in parse_qs(urlsplit(begun["url"]).query).items()}


def connect(keeper: Keeper, name: str, scopes: tuple[str, ...] | None = None) -> str:
    begun, _query = begin(keeper, name, scopes)
    connection = name_of("con")
    connecting.connect_finish(keeper, {
        "connection": connection, "person": OWNER, "sealed": begun["sealed"], "state": begun["state"], "code": "a-code",
        "iss": None, "known": [],
    })
    return connection


def take_back(keeper: Keeper, connection: str) -> str:
    accounts.disconnect(keeper, {"connection": connection, "person": OWNER})
    return str(accounts.revoke_connection(keeper, {"connection": connection})["outcome"])


# -- Slack -----------------------------------------------------------------------------------------------------------


def person_of_slack(answer: dict[str, Any], grant: str) -> dict[str, Any]:
    """docs.slack.dev: the person's token under `authed_user`, the bot's beside it; at the top after a refresh."""
    theirs = {**answer, "token_type": "user", "scope": "channels:read,chat:write"}
    if grant == "refresh_token":
        return {"ok": True, **theirs}
    bot = {"access_token": "xoxb-the-bots", "token_type": "bot", "scope": "commands"}
    return {"ok": True, **bot, "authed_user": {"id": "U1", **theirs}, "team": {"id": "T1"}}


def test_slack_gives_a_persons_token_and_not_the_bots_beside_it(inside: Keeper, provider: Scripted) -> None:
    provider.speaks, provider.me = saying(person_of_slack), {"ok": True, "team_id": "T1", "user_id": "U1", "team": "Acme"}
    known(inside, "slack", provider)
    _begun, query = begin(inside, "slack")
    assert (query["user_scope"], "scope" in query) == ("channels:read,chat:write", False)
    assert "code_challenge" not in query
    connection = connect(inside, "slack")
    record = stored(inside, connection)
    assert (record["account"], record["label"]) == ("T1/U1", "Acme")
    assert record["scopes"] == ["channels:read", "chat:write"]
    assert mint(inside, connection, ("channels:read",))["token"].startswith("access-secret")
    assert "xoxb-the-bots" not in json.dumps(stored(inside, connection))
    assert take_back(inside, connection) == "confirmed"


def test_slack_that_gave_only_a_bots_token_connects_no_person(inside: Keeper, provider: Scripted) -> None:
    provider.speaks = saying(lambda answer, _grant: {
        "ok": True, **answer, "token_type": "bot", "authed_user": {"id": "U1"}, "team": {"id": "T1"},
    })
    known(inside, "slack", provider)
    with pytest.raises(ProviderRefused):
        connect(inside, "slack")


def test_slacks_bot_is_an_entry_of_its_own(inside: Keeper, provider: Scripted) -> None:
    provider.speaks = saying(lambda answer, _grant: {"ok": True, **answer, "token_type": "bot", "scope": "chat:write"})
    provider.me = {"ok": True, "team_id": "T1", "user_id": "B1", "url": "https://acme.slack.com/"}
    known(inside, "slack-bot", provider)
    assert begin(inside, "slack-bot")[1]["scope"] == "channels:read,chat:write"
    assert stored(inside, connect(inside, "slack-bot"))["account"] == "T1/B1"


def test_slacks_refusal_with_200_is_a_refusal(inside: Keeper, provider: Scripted) -> None:
    provider.speaks = saying(lambda _answer, _grant: {"ok": False, "error": "invalid_code"})
    known(inside, "slack", provider)
    with pytest.raises(ProviderRefused):
        connect(inside, "slack")


# -- GitHub ----------------------------------------------------------------------------------------------------------


def test_github_that_answers_a_form_is_understood(inside: Keeper, provider: Scripted) -> None:
    provider.expires_in, provider.me = None, {"id": 42, "login": "octo"}
    provider.speaks = lambda answer, _grant: (
        "application/x-www-form-urlencoded; charset=utf-8", urlencode({**answer, "scope": "repo,read:user"}).encode()
    )
    known(inside, "github", provider)
    record = stored(inside, connect(inside, "github"))
    assert (record["account"], record["label"], record["scopes"]) == ("42", "octo", ["repo", "read:user"])
    assert record["refresh"] is None
    assert record["live"][0]["expires_at"] is None


@pytest.mark.parametrize("kind", [JSON, "application/x-www-form-urlencoded"])
def test_githubs_error_with_200_connects_nothing(inside: Keeper, provider: Scripted, kind: str) -> None:
    error = {"error": "bad_verification_code", "error_description": "<b>old</b>"}
    body = json.dumps(error) if kind == JSON else urlencode(error)
    provider.speaks = lambda _answer, _grant: (kind, body.encode())
    known(inside, "github", provider)
    with pytest.raises(ProviderRefused) as refused:
        connect(inside, "github")
    assert "old" not in refused.value.hint


def test_a_github_app_asks_for_no_scope_and_is_told_with_a_fresh_token(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    """Nothing was minted for long: an access token is fetched so that the grant can be ended, and is written down before."""
    provider.speaks, provider.me = saying(lambda answer, _grant: {**answer, "scope": ""}), {"id": 42, "login": "octo"}
    known(inside, "github-app", provider)
    assert "scope" not in begin(inside, "github-app")[1]
    connection = connect(inside, "github-app")
    assert stored(inside, connection)["scopes"] == ["app"]
    clock.forward(seconds=90_000)
    assert take_back(inside, connection) == "confirmed"
    method, path, _headers, body = provider.heard[-1]
    assert (method, path) == ("DELETE", "/told/counterseal/grant")
    assert json.loads(body) == {"access_token": "access-secret-2"}
    assert len(provider.refreshes) == 1
    assert stored(inside, connection)["live"] == []


def test_a_grant_that_is_over_there_needs_no_last_word(inside: Keeper, provider: Scripted) -> None:
    provider.speaks, provider.me = saying(lambda answer, _grant: {**answer, "scope": ""}), {"id": 42, "login": "octo"}
    known(inside, "github-app", provider)
    connection = connect(inside, "github-app")
    provider.living.clear()
    assert take_back(inside, connection) == "confirmed"


def test_a_last_word_that_cannot_be_said_is_said_again(inside: Keeper, provider: Scripted) -> None:
    provider.speaks, provider.me = saying(lambda answer, _grant: {**answer, "scope": ""}), {"id": 42, "login": "octo"}
    known(inside, "github-app", provider)
    connection, provider.told = connect(inside, "github-app"), 500
    assert take_back(inside, connection) == "pending"
    provider.told = 204
    assert accounts.revoke_connection(inside, {"connection": connection})["outcome"] == "confirmed"
    assert len(provider.refreshes) == 1


# -- Notion ----------------------------------------------------------------------------------------------------------


def test_notion_is_spoken_to_in_json_and_names_the_workspace_in_the_token_answer(inside: Keeper, provider: Scripted) -> None:
    provider.expires_in = None
    provider.speaks = saying(lambda answer, _grant: {
        "access_token": answer["access_token"], "token_type": "bearer", "bot_id": "b-1", "workspace_id": "w-1",
        "workspace_name": "Acme", "owner": {"type": "user", "user": {"id": "u-1"}}, "refresh_token": None,
    })
    known(inside, "notion", provider)
    assert begin(inside, "notion")[1]["owner"] == "user"
    connection = connect(inside, "notion")
    record = stored(inside, connection)
    assert (record["account"], record["label"], record["scopes"]) == ("w-1/b-1", "Acme", ["pages"])
    _method, _path, headers, body = provider.heard[-1]
    shown = base64.b64encode(b"counterseal:scripted-client-secret").decode()
    assert (headers["authorization"], headers["content-type"]) == (f"Basic {shown}", JSON)
    assert headers["notion-version"]
    assert set(json.loads(body)) == {"grant_type", "code", "redirect_uri", "code_verifier"}
    assert mint(inside, connection, ("pages",))["token"] == "access-secret-1"
    assert take_back(inside, connection) == "confirmed"
    assert json.loads(provider.heard[-1][3])["token"] == "access-secret-1"


# -- others ----------------------------------------------------------------------------------------------------------


def test_hubspot_lists_its_scopes_and_says_in_a_word_of_its_own_that_a_grant_is_over(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    def say(answer: dict[str, Any], grant: str) -> dict[str, Any]:
        kept = {key: value for key, value in answer.items() if key != "scope"}
        if grant == "refresh_token":  # no new refresh token: the old one goes on
            del kept["refresh_token"]
        return {**kept, "hub_id": 77, "scopes": ["oauth", "crm.objects.contacts.read"]}

    provider.rotates, provider.speaks = False, saying(say)
    known(inside, "hubspot", provider)
    connection = connect(inside, "hubspot")
    record = stored(inside, connection)
    assert (record["account"], record["scopes"]) == ("77", ["oauth", "crm.objects.contacts.read"])
    for _ in range(2):
        mint(inside, connection, ("crm.objects.contacts.read",))
        clock.forward(seconds=4000)
    assert stored(inside, connection)["refresh"] == record["refresh"]
    assert len(provider.refreshes) == 2

    def over(handler: Any) -> bool:
        handler.answer(400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token"})
        return True

    provider.before.append(over)
    with pytest.raises(NeedsConsent):
        mint(inside, connection, ("crm.objects.contacts.read",))


def test_stripe_names_the_account_in_the_token_answer_and_ends_by_it(inside: Keeper, provider: Scripted) -> None:
    provider.expires_in = None
    provider.speaks = saying(lambda answer, _grant: {
        **answer, "scope": "read_only", "stripe_user_id": "acct_1", "livemode": True, "refresh_token": "refresh-secret-s",
    })
    known(inside, "stripe", provider)
    connection = connect(inside, "stripe")
    assert stored(inside, connection)["account"] == "acct_1"
    assert take_back(inside, connection) == "confirmed"
    _method, _path, headers, body = provider.heard[-1]
    assert parse_qs(body) == {"client_id": ["counterseal"], "stripe_user_id": ["acct_1"]}
    assert headers["authorization"] == "Bearer scripted-client-secret"


def test_a_missing_lifetime_is_the_documented_one_where_the_token_can_be_renewed(
    inside: Keeper, provider: Scripted, clock: Clock
) -> None:
    """Salesforce names none: RFC 6749 section 5.1."""
    provider.speaks = saying(lambda answer, _grant: {key: value for key, value in answer.items() if key != "expires_in"})
    provider.me = {"organization_id": "00D1", "user_id": "0051", "preferred_username": "ada@acme.example"}
    provider.scopes = "id refresh_token openid"
    known(inside, "salesforce", provider)
    connection = connect(inside, "salesforce")
    assert stored(inside, connection)["account"] == "00D1/0051"
    first = mint(inside, connection, ("id",))["token"]
    clock.forward(seconds=7000)
    assert mint(inside, connection, ("id",))["token"] == first
    clock.forward(seconds=300)
    assert mint(inside, connection, ("id",))["token"] != first


def test_linear_is_asked_who_it_is_in_graphql(inside: Keeper, provider: Scripted) -> None:
    provider.speaks = saying(lambda answer, _grant: {**answer, "scope": ["read"]})
    provider.me = {"data": {"viewer": {"id": "lin-1", "email": "ada@acme.example"}}}
    known(inside, "linear", provider)
    record = stored(inside, connect(inside, "linear"))
    assert (record["account"], record["label"], record["scopes"]) == ("lin-1", "ada@acme.example", ["read"])
    method, path, _headers, body = provider.heard[-1]
    assert (method, path, "viewer" in json.loads(body)["query"]) == ("POST", "/userinfo", True)


@pytest.mark.parametrize(("name", "me", "account", "header"), [
    ("shopify", {"shop": {"id": 5, "myshopify_domain": "acme.myshopify.com"}}, "5", ("x-shopify-access-token", "{}")),
    ("mailchimp", {"dc": "us1", "user_id": 9, "accountname": "Acme"}, "us1/9", ("authorization", "OAuth {}")),
    ("clickup", {"user": {"id": 7, "email": "ada@acme.example"}}, "7", ("authorization", "Bearer {}")),
])
def test_tokens_without_an_end_and_headers_of_their_own(
    inside: Keeper, provider: Scripted, name: str, me: Any, account: str, header: tuple[str, str]
) -> None:
    """No lifetime, no refresh token, no scope in the answer."""
    provider.expires_in, provider.me = None, me
    provider.speaks = saying(lambda answer, _grant: {
        "access_token": answer["access_token"], "expires_in": 0, "scope": None if name == "shopify" else "public",
    })
    known(inside, name, provider)
    connection = connect(inside, name)
    record = stored(inside, connection)
    assert record["account"] == account
    assert record["scopes"] == list(load()[name].default_scopes)
    assert provider.heard[-1][2][header[0]] == header[1].format("access-secret-1")
    minted = mint(inside, connection, (load()[name].default_scopes[0],), cap=60)
    assert (minted["token"], minted["exclusive"]) == ("access-secret-1", False)
    assert take_back(inside, connection) == ("confirmed" if name == "shopify" else "unsupported")
    assert stored(inside, connection)["live"] == []


def test_figma_is_renewed_elsewhere_and_keeps_its_refresh_token(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.rotates, provider.me = False, {"id": "f-1", "email": "ada@acme.example"}
    provider.scopes = "current_user:read file_content:read"
    provider.speaks = saying(lambda answer, grant: {
        key: value for key, value in answer.items() if grant != "refresh_token" or key != "refresh_token"
    })
    known(inside, "figma", provider)
    connection = connect(inside, "figma")
    before = stored(inside, connection)["refresh"]
    mint(inside, connection, ("file_content:read",))
    assert [path for method, path, _h, _b in provider.heard if method == "POST"][-1] == "/token/refresh"
    assert stored(inside, connection)["refresh"] == before


def test_dropbox_ends_by_the_token_itself(inside: Keeper, provider: Scripted, clock: Clock) -> None:
    provider.rotates = False
    provider.speaks = saying(lambda answer, _grant: {**answer, "account_id": "dbid:1", "uid": "12"})
    known(inside, "dropbox", provider)
    assert begin(inside, "dropbox")[1]["token_access_type"] == "offline"
    connection = connect(inside, "dropbox")
    assert stored(inside, connection)["account"] == "dbid:1"
    assert take_back(inside, connection) == "confirmed"
    assert provider.heard[-1][2]["authorization"] == "Bearer access-secret-2"


def test_facebooks_error_object_is_a_refusal_and_no_answer_that_was_lost(inside: Keeper, provider: Scripted) -> None:
    provider.speaks = saying(lambda _answer, _grant: {"error": {"message": "no", "type": "OAuthException", "code": 100}})
    known(inside, "facebook", provider)
    with pytest.raises(ProviderRefused):
        connect(inside, "facebook")


def test_google_calls_two_scopes_otherwise_than_they_were_asked_for(inside: Keeper, provider: Scripted) -> None:
    """Else each token would seem to do more than anybody described, and count as destructive."""
    calendar, info = "https://www.googleapis.com/auth/calendar.readonly", "https://www.googleapis.com/auth/userinfo"
    provider.scopes = f"openid {info}.email {info}.profile {calendar}"
    provider.rotates, provider.me = False, {"sub": "g-1", "email": "ada@acme.example"}
    known(inside, "google", provider, scopes=load()["google"].scopes)
    assert begin(inside, "google")[1]["access_type"] == "offline"
    connection = connect(inside, "google")
    assert stored(inside, connection)["scopes"] == ["openid", "email", "profile", calendar]
    assert mint(inside, connection, (calendar,))["token"]


def test_an_answer_that_names_no_account_connects_nothing(inside: Keeper, provider: Scripted) -> None:
    provider.speaks = saying(lambda answer, _grant: {**answer, "stripe_user_id": {"not": "a text"}})
    known(inside, "stripe", provider)
    with pytest.raises(ProviderRefused, match="no account id"):
        connect(inside, "stripe")


def test_a_provider_whose_place_was_not_filled_in_is_asked_nothing(inside: Keeper, provider: Scripted) -> None:
    accounts.provider_put(inside, {"name": "zendesk", "record": {"client_id": "counterseal"}})
    with pytest.raises(ProviderRefused) as refused:
        begin(inside, "zendesk")
    assert "subdomain (your Zendesk's name" in refused.value.hint


def test_a_provider_whose_own_file_is_wrong_is_used_for_nothing(inside: Keeper, provider: Scripted, tmp_path: Path) -> None:
    known(inside, "github", provider)
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "github.yaml").write_text("overrides: github\nscopes: {repo: {words: Change code, effect: none}}")
    upstreams(inside).catalogue = lambda: load(tmp_path)
    with pytest.raises(ProviderRefused) as refused:
        begin(inside, "github")
    assert "provider check" in refused.value.hint


@pytest.mark.parametrize(("label", "shown"), [
    ("ada\u202e@moc.live", "ada @moc.live"), ("Ada\r\nApproved by finance", "Ada Approved by finance"), ("nul\x00", "nul"),
    ("\u200b\u2066", "sub-1"), ("Ådå \u4e2d\u6587", "Ådå \u4e2d\u6587"),
])
def test_what_a_provider_calls_an_account_cannot_rearrange_our_sentences(
    inside: Keeper, provider: Scripted, label: str, shown: str
) -> None:
    provider.me = {"sub": "sub-1", "label": label}
    assert stored(inside, connected(inside, provider))["label"] == shown
