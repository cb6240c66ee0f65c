"""A token client renews its certificate by itself, while the one it has is good."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy.orm import Session

from vault.door import Certified
from webapp.clients import certificates, registration
from webapp.errors import BadInput
from webapp.oauth import client_auth, rfc8705
from webapp.oauth.server import Request
from webapp.web.house import House

LARGEST = 16_384
"""Bytes of a certificate request."""


def renew(house: House, request: Request, body: bytes) -> Certified:
    """A certificate for the key of the request in `body` (PKCS#10, DER or PEM), for the client whose certificate the request came
    with. The one before stays good to its end, so that what is under way is not cut off.

    Raises InvalidClientError (401): a paused or revoked client, a certificate past its end or taken back, a client with a key.
    LimitReached: more often within the hour than the settings allow. Conflict: revoked at the same moment. BadInput, and
    BadRequest of the keeper.
    """
    proof = client_auth.authenticate(house, request)
    if proof.method != rfc8705.METHOD:
        client_auth.refuse("A certificate is renewed by the certificate itself.")
    csr, now, client = _pem(body), house.clock(), proof.client.id
    settings = house.settings.clients

    house.database.write(lambda s: registration.count(s, f"renewal {client}", settings.renewals_per_hour, now))
    given = house.door.certify(client=client, csr=csr, lifetime=settings.certificate_lifetime)

    def work(session: Session) -> None:
        certificates.record(session, client, given, actor=f"client:{client}", now=now, renewed_by=proof.thumbprint)

    house.database.write(work)
    return given


def _pem(body: bytes) -> str:
    """RFC 5967 says that `application/pkcs10` is DER; most programs send PEM."""
    if len(body) > LARGEST:
        raise BadInput("A certificate request is smaller than that.")
    if body.lstrip().startswith(b"-----BEGIN"):
        return body.decode("ascii", errors="replace")
    try:
        return x509.load_der_x509_csr(body).public_bytes(Encoding.PEM).decode()
    except ValueError as error:
        raise BadInput("Send a certificate request (PKCS#10), as application/pkcs10 or in PEM.") from error
