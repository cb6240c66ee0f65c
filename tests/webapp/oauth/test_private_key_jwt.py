"""RFC 7523: a token client proves itself by a signed assertion, once, and by nothing that somebody else could make."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from werkzeug.test import TestResponse

from tests.conftest import Clock
from tests.token_client import TokenClientParts, with_key
from tests.webapp.oauth.conftest import PUBLIC_URL, Agent
from webapp.clients import keys, status
from webapp.errors import BadInput, Conflict
from webapp.oauth import rfc7523
from webapp.web.house import House

OWN = "https://payments.example/mcp"


@pytest.fixture
def server(bare_house: House) -> TokenClientParts:
    return with_key(bare_house, resource=OWN)


@pytest.fixture
def http(agent: Agent) -> FlaskClient:
    return agent.http


def ask(http: FlaskClient, fields: dict[str, Any], **headers: str) -> TestResponse:
    """The smallest request that needs a client's proof: about a token that never was."""
    return http.post("/oauth/introspect", base_url=PUBLIC_URL, data={"token": "csa_x", **fields}, headers=headers)


def test_a_client_with_its_key_comes_in(http: FlaskClient, server: TokenClientParts) -> None:
    answer = ask(http, server.proof())
    assert answer.status_code == 200, answer.text
    assert answer.json == {"active": False}
    assert ask(http, {**server.proof(), "client_id": server.id}).status_code == 200
    assert ask(http, server.proof(aud=[f"{PUBLIC_URL}/oauth/token"])).status_code == 200
    assert ask(http, server.proof(header={"kid": None})).status_code == 200


@pytest.mark.parametrize("key", [OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)], ids=["ed25519", "rsa"])
def test_each_kind_of_key_signs_by_its_own_algorithm_alone(bare_house: House, http: FlaskClient, key: Any) -> None:
    other = with_key(bare_house, "Other", key=key)
    ours = "Ed25519" if isinstance(key, OKPKey) else "PS256"
    assert ask(http, other.proof(header={"alg": ours})).status_code == 200
    if ours == "PS256":
        assert ask(http, other.proof(header={"alg": "RS256"})).status_code == 401
        assert ask(http, other.proof(header={"alg": "PS512"})).status_code == 401


def by_hand(header: dict[str, Any], server: TokenClientParts, sign: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """What no library makes."""
    def encoded(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(server.claims()).encode())}"
    return f"{text}.{encoded(sign(text.encode()))}"


def named(subject: str) -> str:
    """A stranger's, with a name that databases choke on."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


def unsigned(server: TokenClientParts) -> str:
    return by_hand({"alg": "none", "typ": "JWT"}, server)


def by_public_key_as_secret(server: TokenClientParts) -> str:
    """CVE-2015-9235: the public key, which anybody may have, taken for an HMAC's secret."""
    public = server.key.as_pem(private=False)
    return by_hand(
        {"alg": "HS256", "kid": server.key.thumbprint()}, server, lambda text: hmac.digest(public, text, "sha256")
    )


def key_in_its_own_header(server: TokenClientParts) -> str:
    mine = ECKey.generate_key("P-256")
    return server.assertion(key=mine, header={"kid": server.key.thumbprint()})


LIES: dict[str, Callable[[TokenClientParts], dict[str, Any]]] = {
    "alg none": lambda c: {**c.proof(), "client_assertion": unsigned(c)},
    "HS256 with the public key": lambda c: {**c.proof(), "client_assertion": by_public_key_as_secret(c)},
    "another's signature under its kid": lambda c: {**c.proof(), "client_assertion": key_in_its_own_header(c)},
    "kid that nobody has": lambda c: c.proof(header={"kid": "made-up"}),
    "kid that is no text": lambda c: {**c.proof(), "client_assertion": by_hand({"alg": "ES256", "kid": ["x"]}, c)},
    "claims changed after signing": lambda c: {**c.proof(), "client_assertion": ".".join(
        [c.assertion().split(".")[0], c.assertion().split(".")[1], c.assertion().split(".")[2]]
    )},
    "wrong audience": lambda c: c.proof(aud="https://other.example"),
    "audience with a slash more": lambda c: c.proof(aud=PUBLIC_URL + "/"),
    "two audiences": lambda c: c.proof(aud=[PUBLIC_URL, "https://other.example"]),
    "no audience": lambda c: c.proof(aud=None),
    "another issuer": lambda c: c.proof(iss="client_other"),
    "another subject": lambda c: c.proof(sub="client_other"),
    "expired": lambda c: c.proof(exp=int(c.house.clock().timestamp())),
    "lives too long": lambda c: c.proof(exp=int(c.house.clock().timestamp()) + 3600),
    "no end": lambda c: c.proof(exp=None),
    "end in words": lambda c: c.proof(exp="tomorrow"),
    "endless": lambda c: c.proof(exp=float("inf")),
    "no beginning": lambda c: c.proof(iat=None),
    "from the future": lambda c: c.proof(iat=int(c.house.clock().timestamp()) + 120),
    "not yet": lambda c: c.proof(nbf=int(c.house.clock().timestamp()) + 120),
    "no jti": lambda c: c.proof(jti=None),
    "empty jti": lambda c: c.proof(jti=""),
    "endless jti": lambda c: c.proof(jti="x" * 257),
    "a jti that cannot be kept": lambda c: c.proof(jti="a\x00"),
    "a name with half a character": lambda c: {**c.proof(), "client_assertion": named("\ud800")},
    "a name with NUL": lambda c: {**c.proof(), "client_assertion": named("a\x00b")},
    "not a JWT": lambda c: {**c.proof(), "client_assertion": "hello"},
    "claims that are no object": lambda c: {**c.proof(), "client_assertion": "e30.W10.x"},
    "too long": lambda c: {**c.proof(), "client_assertion": "e30." + "A" * 5000 + ".x"},
    "another type": lambda c: {**c.proof(), "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
    "no type": lambda c: {"client_assertion": c.assertion()},
    "type alone": lambda c: {"client_assertion_type": rfc7523.TYPE, "client_id": c.id},
    "two assertions": lambda c: {**c.proof(), "client_assertion": [c.assertion(), c.assertion()]},
    "another client_id": lambda c: {**c.proof(), "client_id": "client_other"},
    "its name alone": lambda c: {"client_id": c.id},
    "a secret": lambda c: {"client_id": c.id, "client_secret": "hush"},
    "a secret too": lambda c: {**c.proof(), "client_secret": "hush"},
    "nothing": lambda c: {},
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_is_not_this_clients_own_fresh_word_is_refused(http: FlaskClient, server: TokenClientParts, lie: str) -> None:
    answer = ask(http, LIES[lie](server))
    assert answer.status_code == 401, answer.text
    assert answer.json["error"] == "invalid_client"
    assert "access_token" not in answer.text


@pytest.mark.parametrize("scheme", ["Basic Y2xpZW50OnNlY3JldA==", "Bearer csa_x"])
def test_no_authorization_header_counts(http: FlaskClient, server: TokenClientParts, scheme: str) -> None:
    answer = ask(http, server.proof(), Authorization=scheme)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert "no client secrets here" in answer.json["error_description"]


def test_an_assertion_counts_once_for_as_long_as_it_could(
    http: FlaskClient, server: TokenClientParts, bare_house: House, clock: Clock
) -> None:
    """Also just before its end, and again from its client with another assertion under the same jti."""
    proof = server.proof(jti="once")
    assert ask(http, proof).status_code == 200
    assert ask(http, proof).status_code == 401
    clock.forward(seconds=59)
    assert "used before" in ask(http, proof).json["error_description"]
    assert ask(http, server.proof(jti="once")).status_code == 401
    assert ask(http, with_key(bare_house, "Other").proof(jti="once")).status_code == 200


def test_of_two_at_once_one_comes_in(server: TokenClientParts, bare_house: House) -> None:
    """Also in two processes: the database decides."""
    now = bare_house.clock()
    verified = rfc7523.Verified("race", now + timedelta(seconds=60))
    came_in: list[bool] = []
    start = threading.Barrier(2)

    def run() -> None:
        start.wait()
        came_in.append(bare_house.database.write(lambda s: rfc7523.spend(s, server.id, verified, now)))

    runners = [threading.Thread(target=run) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert sorted(came_in) == [False, True]


def test_anothers_key_signs_for_nobody_else(http: FlaskClient, server: TokenClientParts, bare_house: House) -> None:
    """Its own kid and signature, with the other's name in it."""
    other = with_key(bare_house, "Other")
    assertion = other.assertion(iss=server.id, sub=server.id)
    assert ask(http, {**other.proof(), "client_assertion": assertion}).status_code == 401
    assert ask(http, {**other.proof(), "client_id": server.id}).status_code == 401


def test_a_key_that_was_ended_and_a_client_that_was_shut_out_are_refused_at_once(
    http: FlaskClient, server: TokenClientParts, bare_house: House
) -> None:
    house, now = bare_house, bare_house.clock()
    following = ECKey.generate_key("P-256")
    text = json.dumps(following.as_dict(private=False))
    house.database.write(lambda s: keys.add(s, server.id, text, actor="cli", now=now))
    assert ask(http, server.proof()).status_code == ask(http, server.proof(key=following)).status_code == 200
    assert "kid" in ask(http, server.proof(header={"kid": None})).json["error_description"]  # which of the two?
    with house.database.read() as session:
        first = keys.live(session, server.id)[0].id
    house.database.write(lambda s: keys.end(s, first, actor="cli", now=now))
    assert ask(http, server.proof()).status_code == 401
    for what, expected in (("pause", 401), ("resume", 200), ("revoke", 401)):
        house.database.write(lambda s, what=what: status.change(s, server.id, what, actor="cli", now=now))  # type: ignore[misc]
        for path in ("/oauth/introspect", "/oauth/revoke"):
            answer = http.post(path, base_url=PUBLIC_URL, data={"token": "csa_x", **server.proof(key=following)})
            assert answer.status_code == expected, (what, path, answer.text)


def test_an_agent_is_not_a_token_client_whatever_it_signs(http: FlaskClient, agent: Agent, server: TokenClientParts) -> None:
    agent.register()
    assert ask(http, {"client_id": agent.id}).status_code == 401
    assert ask(http, server.proof(iss=agent.id, sub=agent.id)).status_code == 401
    answer = agent.token(grant_type="refresh_token", refresh_token="csr_x", **server.proof())
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def small_rsa() -> dict[str, str]:
    n = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n
    return {"kty": "RSA", "e": "AQAB", "n": base64.urlsafe_b64encode(n.to_bytes(128, "big")).decode().rstrip("=")}


BAD_KEYS = [
    ("a private key", ECKey.generate_key("P-256").as_dict(private=True), "private key"),
    ("a shared secret", OctKey.generate_key(256).as_dict(private=True), "public JWK"),
    ("a small RSA key", small_rsa(), "public JWK"),
    ("another curve", ECKey.generate_key("P-521").as_dict(private=False), "public JWK"),
    ("a key to agree on secrets", OKPKey.generate_key("X25519").as_dict(private=False), "public JWK"),
    ("a list", [], "public JWK"),
    ("nothing", {}, "public JWK"),
    ("a point off the curve", {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "public JWK"),
]


@pytest.mark.parametrize(("document", "said"), [one[1:] for one in BAD_KEYS], ids=[one[0] for one in BAD_KEYS])
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_key_that_will_not_do_is_refused_in_words(document: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        keys.read(json.dumps(document))


def test_one_key_is_one_clients_for_ever(bare_house: House, server: TokenClientParts) -> None:
    with pytest.raises(Conflict, match="registered already"):
        with_key(bare_house, "Other", key=server.key)
