"""Client certificates, signed in a PKI mount whose keys never leave Vault (https://openbao.org/api-docs/secret/pki).

Of a certificate request only the public key counts, and the proof that the sender has its private key. The name is ours to give:
one SPIFFE URI (https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md), for client authentication alone, for a day.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from vault import issuers
from vault.client import Refused
from vault.errors import BadRequest, NoAuthority
from vault.issuers import LONGEST, SLACK, Issuer, not_set_up
from vault.said import said
from vault.table import Body, Keeper, number, segment, text

log = logging.getLogger("counterseal.keeper")

ROLE = "client"
SERIAL = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){0,19}")
CURVES = (ec.SECP256R1, ec.SECP384R1)
KEYS = said("a key on P-256 or P-384, an Ed25519 key, or an RSA key of 2048 to 4096 bits")


def client_ca(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """What is believed: `anchors`, each authority's own certificate, the newest first; `pem`, these with those above them."""
    found = issuers.of(keeper)
    good = issuers.believed(found, keeper.clock(), issuers.lead(keeper))[::-1]
    pem = dict.fromkeys(one for issuer in good for one in issuer.chain)
    return {"pem": "\n".join(pem) + "\n", "anchors": [issuer.chain[0] + "\n" for issuer in good]}


def certify(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """1. The request is a PKCS#10 signed by its own key, which is of a kind that we take.
    2. The authority signs that key under the client's name, whatever the request says of itself.
    3. What it signed is held to what was asked for: a role of an operator's own may allow more, and gives nothing then.
    """
    client, lifetime = segment(body, "client"), number(body, "lifetime", most=LONGEST)
    request = read_request(text(body, "csr", limit=16_384))
    name, issuer, path = f"spiffe://{keeper.settings.host}/client/{client}", *_signing(keeper)
    asked = {"csr": request.public_bytes(Encoding.PEM).decode(), "uri_sans": name, "ttl": f"{lifetime}s"}
    try:
        answer = keeper.vault.write(path, asked)["data"]
    except Refused as error:
        raise not_set_up(error) from error
    serial = str(answer["serial_number"])
    wrong = departs(answer["certificate"], request, name, keeper.clock() + timedelta(seconds=lifetime), issuer)
    if wrong:
        revoke_certificate(keeper, {"serial": serial})
        raise NoAuthority(
            wrong, hint=said("The vault's role for client certificates is too wide: it gave %(what)s.", what=wrong)
        )
    log.info("certified %s as %s", serial, name)
    until = datetime.fromtimestamp(answer["expiration"], UTC)
    return {"pem": str(answer["certificate"]).strip() + "\n", "serial": serial, "not_after": until.isoformat()}


def _signing(keeper: Keeper) -> tuple[Issuer, str]:
    """Which one signs now, and where. One that is alone is asked for as the default: a policy from before there could be two
    lets the keeper do no other."""
    found = issuers.of(keeper)
    issuer = issuers.signing(found, keeper.clock(), issuers.lead(keeper))
    return issuer, f"{_mount(keeper)}/{f'issuer/{issuer.id}/' if len(found) > 1 else ''}sign/{ROLE}"


def revoke_certificate(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Put it on the authority's own list too. Twice is once; raises BadRequest for a serial that the authority did not give."""
    serial = text(body, "serial", limit=60)
    if not SERIAL.fullmatch(serial):
        raise BadRequest("serial is not lower-case hex with colons")
    try:
        keeper.vault.write(f"{_mount(keeper)}/revoke", {"serial_number": serial})
    except Refused as error:
        if error.status == 400:
            raise BadRequest(error.detail, hint="The authority gave no certificate with this serial number.") from error
        raise not_set_up(error) from error
    return {}


def read_request(pem: str) -> x509.CertificateSigningRequest:
    """A certificate request whose signature shows that its sender has the key. Raises BadRequest, in words."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key, signed = request.public_key(), request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadRequest("csr", hint="That is not a certificate request (PKCS#10 in PEM).") from error
    if not signed:
        raise BadRequest("csr signature", hint="The certificate request is not signed by its own key.")
    fits = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES))
        or (isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096)
    )
    if not fits:
        raise BadRequest("csr key", hint=said("The certificate request needs %(keys)s.", keys=KEYS))
    return request


def departs(pem: str, request: x509.CertificateSigningRequest, name: str, until: datetime, issuer: Issuer) -> str:
    """How a certificate differs from what was asked for, in words; empty when it does not."""
    given = x509.load_pem_x509_certificate(pem.encode())
    names = _extension(given, x509.SubjectAlternativeName)
    uses = _extension(given, x509.ExtendedKeyUsage)
    basic = _extension(given, x509.BasicConstraints)
    if [*(names or ())] != [x509.UniformResourceIdentifier(name)] or given.subject.rdns:
        return said("another name")
    if [*(uses or ())] != [ExtendedKeyUsageOID.CLIENT_AUTH] or (basic is not None and basic.ca):
        return said("another use")
    if given.not_valid_after_utc > until + SLACK:
        return said("a longer life")
    if _der(given.public_key()) != _der(request.public_key()):
        return said("another key")
    try:
        given.verify_directly_issued_by(issuer.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return said("the word of another authority")
    return ""


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _der(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _mount(keeper: Keeper) -> str:
    return keeper.settings.prefix + "pki"


HANDLERS = {"client_ca": client_ca, "certify": certify, "revoke_certificate": revoke_certificate}
