"""Client certificates: of a request the key alone counts; the name, the use and the time are the keeper's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.csr import csr, new_key
from tests.keeper_parts import KeeperParts, serve
from vault import embedded
from vault.client import Refused, Vault
from vault.errors import BadRequest, NoAuthority
from vault.login import AppRole
from vault.secret import Secret
from vault.settings import Settings

CLIENT = "client_01example"
URI = f"spiffe://localhost/client/{CLIENT}"
OTHERS = [x509.DNSName("bank.example"), x509.UniformResourceIdentifier("spiffe://localhost/client/x")]
GREEDY = (
    (x509.SubjectAlternativeName(OTHERS), False),
    (x509.BasicConstraints(True, None), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]), False),
)


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


@pytest.mark.parametrize("key", [
    new_key(), ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(65537, 2048),
], ids=["p256", "p384", "ed25519", "rsa2048"])
def test_a_request_that_asks_for_everything_gets_one_name_one_use_and_one_day(keeper: KeeperParts, key: Any):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bank")])
    given = keeper.door.certify(client=CLIENT, csr=csr(key, extensions=GREEDY, name=subject))
    found, authority = load(given.pem), load(keeper.door.client_ca())
    verified = PolicyBuilder().store(Store([authority])).max_chain_depth(0).build_client_verifier().verify(found, [])
    assert verified.subjects == [x509.UniformResourceIdentifier(URI)]
    assert not found.subject.rdns
    assert [*found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not any(isinstance(one.value, x509.BasicConstraints) and one.value.ca for one in found.extensions)
    assert found.not_valid_after_utc == given.not_after <= datetime.now(UTC) + timedelta(hours=24, minutes=1)
    number = found.serial_number.to_bytes((found.serial_number.bit_length() + 7) // 8)
    assert given.serial == number.hex(":")


def test_a_life_can_be_shorter_and_never_longer(keeper: KeeperParts):
    request = csr(new_key())
    assert keeper.door.certify(client=CLIENT, csr=request, lifetime=600).not_after < datetime.now(UTC) + timedelta(minutes=11)
    with pytest.raises(BadRequest):
        keeper.door.certify(client=CLIENT, csr=request, lifetime=24 * 3600 + 1)


def forged() -> str:
    """A request for another's key: the signature is of a request of the attacker's own."""
    good = csr(new_key())
    body = bytearray(base64.b64decode("".join(good.splitlines()[1:-1])))
    body[-1] ^= 1
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(bytes(body)).decode()}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(("request_pem", "said"), [
    (forged(), "not signed by its own key"),
    (csr(rsa.generate_private_key(65537, 1024)), "needs a key on"),
    (csr(ec.generate_private_key(ec.SECP256K1())), "needs a key on"),
    (csr(ec.generate_private_key(ec.SECP521R1())), "needs a key on"),
    ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "not a certificate request"),
    ("hello", "not a certificate request"),
], ids=["forged", "rsa1024", "secp256k1", "p521", "empty", "text"])
def test_a_request_that_will_not_do_is_refused_in_words(keeper: KeeperParts, request_pem: str, said: str):
    with pytest.raises(BadRequest) as refused:
        keeper.door.certify(client=CLIENT, csr=request_pem)
    assert said in refused.value.hint


@pytest.mark.parametrize("client", ["../x", "a/b", "a,spiffe://localhost/client/b", "", "a b"])
def test_an_id_cannot_reach_beside_its_place_in_the_name(keeper: KeeperParts, client: str):
    with pytest.raises(BadRequest):
        keeper.door.certify(client=client, csr=csr(new_key()))


def test_a_certificate_is_taken_back_once_and_for_all(keeper: KeeperParts):
    given = keeper.door.certify(client=CLIENT, csr=csr(new_key()))
    keeper.door.revoke_certificate(serial=given.serial)
    keeper.door.revoke_certificate(serial=given.serial)
    with pytest.raises(BadRequest):
        keeper.door.revoke_certificate(serial="aa:bb")
    with pytest.raises(BadRequest):
        keeper.door.revoke_certificate(serial="../../sys/seal")


def test_the_keepers_own_token_can_do_nothing_else_with_the_authority(keeper: KeeperParts):
    """It signs a client's key and takes a certificate back: no root, no role, no certificate with a time or a name of its own."""
    vault = keeper.inside().vault
    sign = {"csr": csr(new_key()), "uri_sans": URI, "ttl": "60s"}
    for path, body in (
        ("counterseal-pki/root/generate/exported", {"common_name": "x"}),
        ("counterseal-pki/roles/client", {"allow_any_name": True}),
        ("counterseal-pki/issue/client", {"uri_sans": URI}), ("counterseal-pki/sign-verbatim", sign),
        ("counterseal-pki/sign/client", {**sign, "not_after": "2100-01-01T00:00:00Z"}),
        ("counterseal-pki/sign/client", {**sign, "uri_sans": "https://bank.example"}),
        ("counterseal-pki/sign/client", {**sign, "alt_names": "bank.example"}),
    ):
        with pytest.raises(Refused) as refused:
            vault.write(path, body)
        assert refused.value.status in (400, 403), path
    assert vault.write("counterseal-pki/sign/client", sign)["data"]["certificate"]
    vault.wire.close()


WIDENER = "test-widener"
WIDENING = [
    embedded.Request("widener-policy", f"sys/policies/acl/{WIDENER}", {"policy": (
        'path "counterseal-pki/roles/client" { capabilities = ["create", "update", "delete"] }\n'
        'path "sys/mounts/counterseal-pki" { capabilities = ["delete", "sudo"] }'
    )}),
    embedded.Request("widener", f"auth/approle/role/{WIDENER}", {"token_policies": [WIDENER]}),
    embedded.Request("widener-id", f"auth/approle/role/{WIDENER}/role-id", {"role_id": WIDENER}),
    embedded.Request("widener-secret", f"auth/approle/role/{WIDENER}/custom-secret-id", {"secret_id": WIDENER}),
]


@contextmanager
def operating(parts: KeeperParts) -> Iterator[Vault]:
    vault = Vault(Settings(parts.instance).address, login=AppRole(WIDENER, lambda: Secret(WIDENER)), timeout=5.0)
    yield vault
    vault.wire.close()


def test_a_role_that_an_operator_made_too_wide_gives_nothing_and_a_missing_one_is_said():
    """The keeper holds what it gets against what it asked for, whatever the vault was set up to allow."""
    with serve(extra=WIDENING) as parts, operating(parts) as operator:
        wide = {**embedded.CLIENT_ROLE, "server_flag": True}
        operator.write("counterseal-pki/roles/client", wide)
        with pytest.raises(NoAuthority) as refused:
            parts.door.certify(client=CLIENT, csr=csr(new_key()))
        assert "another use" in refused.value.hint
        operator.write("counterseal-pki/roles/client", {
            **embedded.CLIENT_ROLE, "use_csr_sans": True, "allow_any_name": True,
        })
        with pytest.raises(NoAuthority) as other:
            parts.door.certify(client=CLIENT, csr=csr(new_key(), extensions=GREEDY[:1]))
        assert "another name" in other.value.hint
        operator.request("DELETE", "counterseal-pki/roles/client")
        with pytest.raises(NoAuthority) as missing:
            parts.door.certify(client=CLIENT, csr=csr(new_key()))
        assert "docs/keeper.md" in missing.value.hint
        operator.request("DELETE", "sys/mounts/counterseal-pki")
        with pytest.raises(NoAuthority):
            parts.door.client_ca()
