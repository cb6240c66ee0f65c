"""Metadata, registration, revocation and introspection, as programs see them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.webapp.oauth.conftest import PUBLIC_URL, RESOURCE, Agent
from tests.webapp.oauth.conftest import sqlite_url as database_url  # noqa: F401
from webapp.clients.tables import Client
from webapp.db.due import Due
from webapp.oauth import rfc8414
from webapp.oauth.rfc6750 import challenge
from webapp.oauth.tokens import InvalidToken

EVIL = "https://evil.example"


def get(agent: Agent, path: str, **headers: str) -> Any:
    return agent.http.get(path, base_url=PUBLIC_URL, headers=headers)


def test_a_server_says_which_authorization_server_gives_its_tokens(agent: Agent) -> None:
    """RFC 9728."""
    document = get(agent, "/.well-known/oauth-protected-resource/mcp/bank").json
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"] == [PUBLIC_URL]
    assert document["bearer_methods_supported"] == ["header"]
    assert get(agent, "/.well-known/oauth-protected-resource/mcp/nothing").status_code == 404
    assert get(agent, "/.well-known/oauth-protected-resource").status_code == 404


def test_the_authorization_server_says_what_it_takes(agent: Agent) -> None:
    """RFC 8414, RFC 9207: and all that it names is there."""
    document = get(agent, "/.well-known/oauth-authorization-server").json
    assert document["issuer"] == PUBLIC_URL
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_methods_supported"] == ["none", "tls_client_auth", "private_key_jwt"]
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ["ES256", "PS256", "Ed25519"]
    assert "none" not in document["introspection_endpoint_auth_methods_supported"]
    assert document["tls_client_certificate_bound_access_tokens"] is True
    assert document["authorization_response_iss_parameter_supported"] is True
    rfc8414.check(agent.house.settings)
    for name in (one for one in document if one.endswith("_endpoint")):
        path = document[name].removeprefix(PUBLIC_URL)
        assert any(rule.rule == path for rule in agent.http.application.url_map.iter_rules()), name


def test_a_forged_host_changes_no_address(agent: Agent) -> None:
    agent.register()
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp/bank"):
        assert "evil.example" not in agent.http.get(path, base_url=EVIL).text
        forwarded = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
        assert "evil.example" not in get(agent, path, **forwarded).text
    code = agent.code()
    answer = agent.http.post("/oauth/token", base_url="http://evil.example", data={
        "grant_type": "authorization_code", "code": code, "redirect_uri": agent.redirect_uri, "client_id": agent.id,
        "code_verifier": "a-verifier-of-enough-characters-to-be-one-1234567", "resource": f"{EVIL}/mcp/bank"})
    assert answer.json["error"] == "invalid_target"


def test_registration_always_makes_a_public_client(agent: Agent) -> None:
    """RFC 7591 section 3.2.1: the answer says what was registered, not what was asked for."""
    answer = agent.register(
        client_name=" Ledger\n Desk ", token_endpoint_auth_method="client_secret_post", response_types=["code", "token"],
        grant_types=["authorization_code", "implicit"], scope="admin everything", client_id="chosen", client_secret="mine",
        logo_uri="http://10.0.0.1/", software_statement="ey.e.y", jwks_uri="http://169.254.169.254/",
    )
    assert answer.status_code == 201
    document = answer.json
    assert "client_secret" not in document
    assert document["client_id"] != "chosen"
    assert document["token_endpoint_auth_method"] == "none"
    assert document["grant_types"] == ["authorization_code", "refresh_token"]
    assert (document["client_name"], document["scope"]) == ("Ledger Desk", "mcp")
    assert "logo_uri" not in document


@pytest.mark.parametrize(("metadata", "error"), [
    ({"redirect_uris": None}, "invalid_redirect_uri"),
    ({"redirect_uris": []}, "invalid_redirect_uri"),
    ({"redirect_uris": "http://localhost/"}, "invalid_redirect_uri"),
    ({"redirect_uris": [1]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["http://evil.example/cb"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://app.example/cb", "javascript:alert(1)"]}, "invalid_redirect_uri"),
    ({"redirect_uris": [f"{PUBLIC_URL}/oauth/authorize"]}, "invalid_redirect_uri"),
    ({"redirect_uris": [f"http://localhost/{n}" for n in range(11)]}, "invalid_redirect_uri"),
    ({"client_name": 7}, "invalid_client_metadata"),
    ({"client_name": "x" * 20_000}, "invalid_client_metadata"),
    ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
    ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
    ({"response_types": ["token"]}, "invalid_client_metadata"),
    ({"contacts": [[[[[[[[[["deep"]]]]]]]]]]}, "invalid_client_metadata"),
])
def test_what_is_not_a_registration_registers_nothing(asker: Agent, metadata: dict[str, Any], error: str) -> None:
    answer = asker.register(**metadata)
    assert (answer.status_code, answer.json["error"]) == (400, error)
    with asker.house.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Client)) == 1


@pytest.mark.parametrize(("body", "kind"), [
    (b"[]", "application/json"), (b"{", "application/json"), (b"", "application/json"), (b"\xff", "application/json"),
    (b'{"redirect_uris":["http://localhost/a"],"redirect_uris":["http://localhost/b"]}', "application/json"),
    (b'{"redirect_uris":["http://localhost/a"]}', "text/plain"), (b"client_name=x", "application/x-www-form-urlencoded"),
])
def test_only_one_small_json_object_registers(asker: Agent, body: bytes, kind: str) -> None:
    """`text/plain` is what another site's page can post here without asking."""
    answer = asker.http.post("/oauth/register", data=body, content_type=kind, base_url=PUBLIC_URL)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_client_metadata")


def test_registrations_are_limited_and_say_when_to_come_back(agent: Agent) -> None:
    agent.house.clock.now = agent.house.clock().replace(minute=5)  # type: ignore[attr-defined]
    codes = [agent.register().status_code for _ in range(51)]
    assert codes == [201] * 50 + [429]
    assert agent.register().headers["Retry-After"] == "3600"


def test_whoever_registers_brings_the_cleaner(agent: Agent) -> None:
    agent.register()
    agent.register()
    with agent.house.database.read() as session:
        assert list(session.scalars(select(Due.kind))) == ["oauth.clean"]


def revoke(agent: Agent, token: str, **fields: str) -> Any:
    form = {"client_id": agent.id, "token": token, **fields}
    return agent.http.post("/oauth/revoke", data=form, base_url=PUBLIC_URL)


def test_an_agent_gives_back_one_access_token_or_everything(agent: Agent) -> None:
    """RFC 7009 section 2.1."""
    given = agent.connected()
    assert revoke(agent, given["access_token"], token_type_hint="refresh_token").status_code == 200
    with pytest.raises(InvalidToken, match="revoked"):
        agent.call(given["access_token"])
    again = agent.refresh(given["refresh_token"]).json
    assert revoke(agent, again["refresh_token"]).status_code == 200
    with pytest.raises(InvalidToken, match="revoked"):
        agent.call(again["access_token"])
    assert agent.refresh(again["refresh_token"]).json["error"] == "invalid_grant"


def test_a_token_that_is_not_known_is_as_good_as_revoked(agent: Agent) -> None:
    agent.register()
    assert revoke(agent, "csa_" + "a" * 43).status_code == revoke(agent, "csr_" + "a" * 43).status_code == 200
    assert revoke(agent, "anything").status_code == 200
    assert revoke(agent, "").status_code == 400


def test_nobody_revokes_another_agents_tokens(agent: Agent, stranger: Agent) -> None:
    given = agent.connected()
    for raw in (given["access_token"], given["refresh_token"]):
        answer = revoke(stranger, raw)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    assert revoke(agent, given["access_token"], client_id="client_nobody").status_code == 401
    assert agent.call(given["access_token"]).client == agent.id


def test_introspection_is_not_for_agents_nor_for_strangers(agent: Agent) -> None:
    """RFC 7662 section 2.3."""
    given = agent.connected()
    for headers in ({}, {"Authorization": f"Bearer {given['access_token']}"}, {"Authorization": "Basic eDp5"}):
        answer = agent.http.post("/oauth/introspect", base_url=PUBLIC_URL, headers=headers,
                                 data={"token": given["access_token"], "client_id": agent.id})
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        assert "active" not in answer.text
        assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("path", [
    "/.well-known/oauth-authorization-server", "/oauth/authorize", "/you/agents", "/oauth/token", "/nowhere",
])
def test_a_token_in_an_address_is_refused_everywhere(agent: Agent, path: str) -> None:
    given = agent.connected()
    access, refresh = given["access_token"], given["refresh_token"]
    for query in (f"access_token={access}", f"x={refresh}", "access_token=x", f"a=b&a={access}"):
        answer = agent.http.get(f"{path}?{query}", base_url=PUBLIC_URL, headers={"X-Test-Person": agent.person})
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), query
        assert given["access_token"] not in answer.text


def test_what_stands_in_the_address_is_not_a_parameter_of_the_token_endpoint(agent: Agent) -> None:
    agent.register()
    code = agent.code()
    answer = agent.http.post(f"/oauth/token?grant_type=authorization_code&code={code}", base_url=PUBLIC_URL, data={
        "client_id": agent.id, "redirect_uri": agent.redirect_uri, "resource": RESOURCE})
    assert answer.json["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("fields", [
    {}, {"grant_type": "password", "username": "a", "password": "b"}, {"grant_type": "client_credentials"},
    {"grant_type": "implicit"}, {"grant_type": '"\\\n'},
])
def test_no_other_grant_exists(asker: Agent, fields: dict[str, str]) -> None:
    answer = asker.token(**fields)
    assert (answer.status_code, answer.json["error"]) == (400, "unsupported_grant_type")
    assert answer.headers["Cache-Control"] == "no-store"


def test_no_token_is_logged_whatever_the_level(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """Authlib's grants log `Issue token %r` at DEBUG."""
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "authlib"):
        agent.register()
        code = agent.code()
        given = agent.redeem(code).json
        again = agent.refresh(given["refresh_token"]).json
        agent.refresh(given["refresh_token"])
        for name in ("grants.authorization_code", "grants.refresh_token", "authenticate_client"):
            logging.getLogger(f"authlib.oauth2.rfc6749.{name}").debug("Issue token %r", code)
    for secret in (code, given["access_token"], given["refresh_token"], again["access_token"], again["refresh_token"]):
        assert secret not in caplog.text


def test_a_401_leads_to_the_metadata_and_says_what_was_wrong(agent: Agent) -> None:
    settings = agent.house.settings
    plain = challenge(settings, "bank")
    assert plain.startswith(f'Bearer resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp/bank"')
    assert "error" not in plain
    assert 'error="invalid_token"' in challenge(settings, "bank", InvalidToken("It has expired."))
