"""RFC 8705 on the real authority: who comes in by a certificate, what tokens are bound to, how a certificate is renewed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.app_parts import PUBLIC_URL, Browser, People, hidden
from tests.conftest import Clock
from tests.csr import authority, csr, issue, new_key
from tests.csr import der as _der
from tests.keeper_parts import KeeperParts
from tests.token_client import TokenClientParts, with_certificate, with_key, with_peer
from tests.webapp.oauth.conftest import VERIFIER, challenge_of, put_server
from webapp.clients import certificates, jobs, status
from webapp.clients.tables import Certificate
from webapp.composition import create_app
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.oauth import tokens
from webapp.oauth.tokens import InvalidToken
from webapp.policy import active
from webapp.web.house import House

OWN = "https://payments.example/mcp"
CALLBACK = "https://payments.example/callback"
ALLOW = ("github:repo:status,read:user",)


@pytest.fixture
def server(house: House) -> TokenClientParts:
    return with_certificate(house, allow=ALLOW, resource=OWN, redirect_uris=(CALLBACK,))


@pytest.fixture
def http(app: Flask, house: House) -> FlaskClient:
    active.at_start(house)
    return app.test_client()


def post(http: FlaskClient, path: str, der: bytes | None, **fields: Any) -> TestResponse:
    return http.post(path, base_url=PUBLIC_URL, data=fields, environ_overrides=with_peer(der))


def about(http: FlaskClient, der: bytes | None, token: str = "csa_x", **fields: Any) -> TestResponse:
    return post(http, "/oauth/introspect", der, token=token, **fields)


def refused(answer: TestResponse, said: str = "") -> None:
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text
    assert said in answer.json["error_description"]


def test_a_client_with_its_certificate_comes_in(http: FlaskClient, server: TokenClientParts) -> None:
    assert about(http, server.der).json == {"active": False}
    assert about(http, server.der, client_id=server.id).status_code == 200


def test_without_it_or_with_something_else_besides_it_does_not(http: FlaskClient, server: TokenClientParts, house: House) -> None:
    keyed = with_key(house, "Other")
    refused(about(http, None, client_id=server.id), "did not prove")
    refused(about(http, None), "did not prove")
    refused(about(http, server.der, client_id=keyed.id), "client_id")
    refused(about(http, server.der, client_id=[server.id, keyed.id]), "client_id")
    refused(about(http, server.der, client_secret="hush"), "no client secrets")
    refused(about(http, server.der, **keyed.proof()), "Two proofs")
    refused(about(http, None, **server.proof(key=keyed.key)), "registered with tls_client_auth")


def test_a_certificate_of_another_authority_is_nobodys(http: FlaskClient, server: TokenClientParts) -> None:
    """Whatever it calls itself, and whatever name it gives: the same as ours, to the letter."""
    uri = f"spiffe://localhost/client/{server.id}"
    for ca in (authority(), authority("Somebody else")):
        foreign = issue(ca, new_key(), uri).public_bytes(Encoding.DER)
        refused(about(http, foreign), "not given by this server's authority")
    refused(about(http, b"junk"), "not given")
    refused(about(http, b"0" * 20_000), "too large")


def test_a_certificate_that_nobody_wrote_down_counts_for_nothing(
    http: FlaskClient, server: TokenClientParts, house: House
) -> None:
    """Of the real authority, for the right name: but not by our doing."""
    stray = house.door.certify(client=server.id, csr=csr(new_key()))
    refused(about(http, _der(stray.pem)), "not known here")
    other = with_certificate(house, "Other")
    house.database.write(lambda s: s.merge(Certificate(
        serial=stray.serial, client=other.id, thumbprint=certificates.thumbprint(_der(stray.pem)), issued_at=house.clock(),
        not_after=stray.not_after,
    )))
    refused(about(http, _der(stray.pem)), "not known here")


def test_past_its_end_it_is_refused_also_for_its_own_renewal(http: FlaskClient, server: TokenClientParts, clock: Clock) -> None:
    clock.forward(hours=24, minutes=1)
    refused(about(http, server.der), "expired")
    refused(renew(http, server.der), "expired")


def test_a_name_of_another_house_is_not_ours(house: House, http: FlaskClient, server: TokenClientParts) -> None:
    """A vault that two installations share: the host in the name tells them apart."""
    house.settings.public_url = "http://127.0.0.1:8000"
    answer = http.post("/oauth/introspect", base_url="http://127.0.0.1:8000", data={"token": "csa_x"},
                       environ_overrides=with_peer(server.der))
    refused(answer, "not registered")


def listed_as_revoked(keeper: KeeperParts, serial: str) -> bool:
    """On the authority's own list, which anybody may read."""
    vault = keeper.inside().vault
    listed = x509.load_pem_x509_crl(vault.wire.request("GET", "/v1/counterseal-pki/crl/pem").body)
    vault.wire.close()
    return listed.get_revoked_certificate_by_serial_number(int(serial.replace(":", ""), 16)) is not None


def test_revoked_or_shut_out_is_refused_at_once_and_the_authority_hears_of_it(
    http: FlaskClient, server: TokenClientParts, house: House, keeper: KeeperParts
) -> None:
    serial = server.certified.serial if server.certified else ""
    house.database.write(lambda s: certificates.revoke(s, serial, actor="cli", now=house.clock()))
    refused(about(http, server.der), "revoked")
    refused(renew(http, server.der), "revoked")
    with house.database.read() as session:
        due = session.query(Due).filter_by(kind=certificates.REVOKE).one()
    assert jobs.jobs[certificates.REVOKE](house, due) is None
    assert listed_as_revoked(keeper, serial)
    other = with_certificate(house, "Other")
    for what, code in (("pause", 401), ("resume", 200), ("revoke", 401)):
        house.database.write(lambda s, what=what: status.change(s, other.id, what, actor="cli", now=house.clock()))  # type: ignore[misc]
        for path in ("/oauth/introspect", "/oauth/revoke"):
            assert post(http, path, other.der, token="csa_x").status_code == code, (what, path)
    assert renew(http, other.der).status_code == 401
    with house.database.read() as session:
        assert certificates.live(session, other.id, house.clock()) == []


# -- tokens --------------------------------------------------------------------------------------------------------


def asks(client: str, **changed: str) -> dict[str, str]:
    return {
        "response_type": "code", "client_id": client, "redirect_uri": CALLBACK, "state": "s", "resource": OWN,
        "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256", **changed,
    }


def code_of(person: Browser, asked: dict[str, str]) -> str:
    """The person allows it on the page."""
    page = person.get(f"/oauth/authorize?{urlencode(asked)}")
    assert page.status_code == 200, page.text
    done = person.post("/oauth/authorize", data={**asked, "csrf_token": hidden(page, "csrf_token"), "decision": "allow"},
                       headers={"Origin": PUBLIC_URL})
    assert done.status_code == 303, done.text
    return parse_qs(urlsplit(done.headers["Location"]).query)["code"][0]


def redeem(http: FlaskClient, code: str, der: bytes | None, resource: str = OWN, **fields: Any) -> TestResponse:
    return post(http, "/oauth/token", der, grant_type="authorization_code", code=code, redirect_uri=CALLBACK,
                code_verifier=VERIFIER, resource=resource, **fields)


def test_what_a_client_with_a_certificate_gets_is_bound_to_it(
    http: FlaskClient, server: TokenClientParts, house: House, signed_in: People
) -> None:
    ada, other = signed_in("ada"), with_certificate(house, "Other")
    code = code_of(ada, asks(server.id))
    refused(redeem(http, code, None, client_id=server.id), "did not prove")
    assert redeem(http, code, other.der).json["error"] == "invalid_grant"
    given = redeem(http, code, server.der).json
    access = given["access_token"]

    def use(peer: bytes | None) -> Any:
        with house.database.read() as session:
            return tokens.authenticate(session, access, OWN, house.clock(), peer)

    assert (use(server.der).mtls, use(server.der).person) == (True, ada.person)
    for wrong in (None, other.der, server.der[:-1]):
        with pytest.raises(InvalidToken, match="bound to a client certificate"):
            use(wrong)
    told = about(http, server.der, access).json
    assert told["cnf"] == {"x5t#S256": server.thumbprint}
    assert about(http, other.der, access).json == {"active": False}
    again = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"], "resource": OWN}
    assert post(http, "/oauth/token", other.der, **again).json["error"] == "invalid_grant"
    refused(post(http, "/oauth/token", None, **again, client_id=server.id))
    house.database.write(lambda s: certificates.revoke(s, server.certified.serial, actor="cli", now=house.clock()))  # type: ignore[union-attr]
    with pytest.raises(InvalidToken, match="was revoked"):
        use(server.der)


def test_a_refresh_goes_on_with_the_next_certificate_and_binds_to_it(
    http: FlaskClient, server: TokenClientParts, house: House, signed_in: People
) -> None:
    """RFC 8705 section 7.1: a refresh token is its client's; a certificate lives for a day."""
    given = redeem(http, code_of(signed_in("ada"), asks(server.id)), server.der).json
    following = _der(renew(http, server.der).text)
    answer = post(http, "/oauth/token", following, grant_type="refresh_token", refresh_token=given["refresh_token"], resource=OWN)
    assert answer.status_code == 200, answer.text
    with house.database.read() as session:
        assert tokens.authenticate(session, answer.json["access_token"], OWN, house.clock(), following).mtls
        with pytest.raises(InvalidToken):
            tokens.authenticate(session, answer.json["access_token"], OWN, house.clock(), server.der)
        assert tokens.authenticate(session, given["access_token"], OWN, house.clock(), server.der).mtls


def test_at_the_gateway_a_bound_token_needs_its_certificate(
    http: FlaskClient, server: TokenClientParts, house: House, signed_in: People, clock: Clock
) -> None:
    house.database.write(lambda s: put_server(s, clock))
    bank = f"{PUBLIC_URL}/mcp/bank"
    code = code_of(signed_in("ada"), asks(server.id, resource=bank))
    access = redeem(http, code, server.der, bank).json["access_token"]

    def ping(der: bytes | None) -> TestResponse:
        return http.post("/mcp/bank", base_url=PUBLIC_URL, environ_overrides=with_peer(der), headers={
            "Authorization": f"Bearer {access}", "Accept": "application/json, text/event-stream",
        }, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"},
        }})

    assert ping(server.der).status_code == 200
    for wrong in (None, with_certificate(house, "Other").der):
        answer = ping(wrong)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert "client certificate" in answer.headers["WWW-Authenticate"]


# -- a token client's own resource ---------------------------------------------------------------------------------


def agent_of(http: FlaskClient) -> str:
    body = {"client_name": "Ledger Desk", "redirect_uris": [CALLBACK]}
    return str(http.post("/oauth/register", json=body, base_url=PUBLIC_URL).json["client_id"])


def test_an_agent_gets_tokens_for_a_token_clients_own_server_and_the_person_sees_which(
    http: FlaskClient, server: TokenClientParts, house: House, signed_in: People
) -> None:
    ada, agent = signed_in("ada"), agent_of(http)
    page = ada.get(f"/oauth/authorize?{urlencode(asks(agent))}").text
    assert "wants to use Payments in your name" in page
    assert OWN in page
    assert "not behind this gateway" in page
    assert "repo:status" in page
    given = redeem(http, code_of(ada, asks(agent)), None, client_id=agent)
    assert given.status_code == 200, given.text
    access = given.json["access_token"]
    told = about(http, server.der, access).json
    now = house.clock()
    assert told == {
        "active": True, "scope": "mcp", "client_id": agent, "token_type": "Bearer", "sub": ada.person, "aud": OWN,
        "iss": PUBLIC_URL, "iat": int(now.timestamp()), "exp": int((now + timedelta(seconds=600)).timestamp()),
        "act": {"sub": agent},
    }
    assert "Payments" in ada.get("/you/agents").text
    stranger = with_certificate(house, "Other", resource="https://other.example/mcp")
    for der, raw in ((stranger.der, access), (server.der, given.json["refresh_token"]), (server.der, "csa_" + "x" * 43)):
        assert about(http, der, raw).json == {"active": False}
    house.database.write(lambda s: status.change(s, agent, "pause", actor="cli", now=now))
    assert about(http, server.der, access).json == {"active": False}


def test_a_server_asks_a_person_for_itself(http: FlaskClient, server: TokenClientParts, signed_in: People) -> None:
    page = signed_in("ada").get(f"/oauth/authorize?{urlencode(asks(server.id))}").text
    assert "wants to know that you are using it" in page
    assert "Registered by an administrator" in page
    assert not re.search(r"Vouched|Unverified", page)


@pytest.mark.parametrize("what", ["pause", "revoke"])
def test_for_a_server_that_was_shut_out_nobody_gets_tokens(
    http: FlaskClient, server: TokenClientParts, house: House, signed_in: People, what: str
) -> None:
    ada, agent = signed_in("ada"), agent_of(http)
    house.database.write(lambda s: status.change(s, server.id, what, actor="cli", now=house.clock()))
    page = ada.get(f"/oauth/authorize?{urlencode(asks(agent))}")
    assert page.status_code == 400
    assert "no such server" in page.text
    assert ada.get(f"/oauth/authorize?{urlencode(asks(server.id))}").status_code == 400


def test_a_client_with_a_key_has_the_same_flow_and_its_tokens_are_bearers(
    http: FlaskClient, house: House, signed_in: People
) -> None:
    keyed = with_key(house, "Desk", resource="https://desk.example/mcp", redirect_uris=(CALLBACK,))
    code = code_of(signed_in("ada"), asks(keyed.id, resource=str(keyed.resource)))
    refused(redeem(http, code, None, str(keyed.resource), client_id=keyed.id))
    given = redeem(http, code, None, str(keyed.resource), **keyed.proof())
    assert given.status_code == 200, given.text
    told = http.post("/oauth/introspect", base_url=PUBLIC_URL, data={"token": given.json["access_token"], **keyed.proof()}).json
    assert told["active"] is True
    assert "cnf" not in told


# -- renewal -------------------------------------------------------------------------------------------------------


def renew(http: FlaskClient, der: bytes | None, body: bytes | None = None, **kwargs: Any) -> TestResponse:
    sent = csr(new_key()).encode() if body is None else body
    return http.post("/clients/certificate", base_url=PUBLIC_URL, data=sent, environ_overrides=with_peer(der),
                     **{"content_type": "application/pkcs10", **kwargs})


def test_a_certificate_renews_itself_and_both_are_good_until_their_ends(http: FlaskClient, server: TokenClientParts) -> None:
    key = new_key()
    answer = renew(http, server.der, csr(key).encode())
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/pem-certificate-chain"
    assert about(http, _der(answer.text)).status_code == about(http, server.der).status_code == 200
    assert about(http, _der(renew(http, _der(answer.text)).text)).status_code == 200


def test_revoking_one_ends_what_was_renewed_from_it(
    http: FlaskClient, server: TokenClientParts, house: House, clock: Clock
) -> None:
    """Attack: a stolen certificate renewed itself onto the thief's key, and that one once more. What an admin gave stays."""
    first = renew(http, server.der, csr(new_key()).encode()).text
    second = renew(http, _der(first), csr(new_key()).encode()).text
    given = house.door.certify(client=server.id, csr=csr(new_key()), lifetime=3600)
    house.database.write(lambda s: certificates.record(s, server.id, given, actor="cli", now=clock()))
    house.database.write(lambda s: certificates.revoke(s, server.certified.serial, actor="cli", now=clock()))  # type: ignore[union-attr]
    for pem in (first, second):
        refused(about(http, _der(pem)), "revoked")
        refused(renew(http, _der(pem)), "revoked")
    assert about(http, _der(given.pem)).status_code == 200
    with house.database.read() as session:
        assert len(session.query(Due).filter_by(kind=certificates.REVOKE).all()) == 3


def test_a_renewal_under_way_does_not_outlive_a_revocation(server: TokenClientParts, house: House, clock: Clock) -> None:
    given = house.door.certify(client=server.id, csr=csr(new_key()), lifetime=3600)
    house.database.write(lambda s: certificates.revoke(s, server.certified.serial, actor="cli", now=clock()))  # type: ignore[union-attr]
    with pytest.raises(Conflict):
        house.database.write(lambda s: certificates.record(
            s, server.id, given, actor="client", now=clock(), renewed_by=server.thumbprint
        ))


def test_also_as_der_and_never_for_another_name(http: FlaskClient, server: TokenClientParts, house: House) -> None:
    other = with_certificate(house, "Other")
    asked = csr(new_key(), extensions=((x509.SubjectAlternativeName([
        x509.UniformResourceIdentifier(f"spiffe://localhost/client/{other.id}"),
    ]), False),))
    raw = x509.load_pem_x509_csr(asked.encode()).public_bytes(Encoding.DER)
    found = x509.load_pem_x509_certificate(renew(http, server.der, raw).data)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [*names] == [x509.UniformResourceIdentifier(f"spiffe://localhost/client/{server.id}")]


@pytest.mark.parametrize(("body", "kwargs", "said"), [
    (b"hello", {}, "certificate request"), (b"", {}, "certificate request"), (b"x" * 20_000, {}, "smaller"),
    (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", {}, "certificate request"),
    (None, {"content_type": "application/json"}, "application/pkcs10"),
])
def test_what_is_no_request_is_said_in_words(
    http: FlaskClient, server: TokenClientParts, body: bytes | None, kwargs: dict[str, Any], said: str
) -> None:
    answer = renew(http, server.der, body, **kwargs)
    assert answer.status_code == 400, answer.text
    assert said in answer.json["error_description"]


def test_nobody_renews_by_anything_else(http: FlaskClient, house: House, signed_in: People, server: TokenClientParts) -> None:
    """A stranger, a signed-in admin's browser, a client with a key, a foreign certificate."""
    with_key(house, "Keyed")
    refused(renew(http, None))
    admin = signed_in("root", groups=["admin"])
    assert admin.post("/clients/certificate", data=csr(new_key()), content_type="application/pkcs10").status_code == 401
    foreign = issue(authority(), new_key(), f"spiffe://localhost/client/{server.id}")
    refused(renew(http, foreign.public_bytes(Encoding.DER)))


def test_renewals_are_counted(house: House, server: TokenClientParts) -> None:
    house.settings.clients.renewals_per_hour = 2
    http = create_app(house).test_client()
    assert [renew(http, server.der).status_code for _ in range(4)] == [200, 200, 429, 429]
    late = renew(http, server.der)
    assert (late.json["error"], 1 <= int(late.headers["Retry-After"]) <= 3600) == ("slow_down", True)
    assert about(http, with_certificate(house, "Other").der).status_code == 200
