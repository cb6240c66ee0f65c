"""RFC 8705, mutual TLS: a client that proves itself with a certificate of our own authority, and tokens bound to it.

Whoever ended TLS made sure that the sender has the certificate's key; everything else is checked here, behind a proxy as well.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from sqlalchemy import bindparam, select

from webapp.clients.certificates import thumbprint
from webapp.clients.tables import Certificate
from webapp.config import Settings
from webapp.db.direct import Made, Where, direct

METHOD = "tls_client_auth"
LARGEST = 8192
"""Bytes of a certificate: ours have 600."""


class BadCertificate(Exception):
    """Its text is a sentence for whoever runs the client."""


@dataclass(frozen=True)
class Presented:
    """A certificate that our authority signed for client authentication. `uri` is the one name in it."""

    serial: str
    uri: str
    thumbprint: str
    begins: datetime
    ends: datetime


@lru_cache(maxsize=1024)
def read(der: bytes, authorities: tuple[str, ...]) -> Presented:
    """Check that one of the authorities (PEM, each one certificate) signed a certificate, and read it. Raises BadCertificate,
    which is not kept; that a good one is in time is for the caller to see, each time.

    RFC 5280 by cryptography's client verifier: signature, basic constraints, key usage, and clientAuth among the uses.
    """
    if len(der) > LARGEST:
        raise BadCertificate("This client certificate is too large.")
    try:
        certificate = x509.load_der_x509_certificate(der)
        anchors = [x509.load_pem_x509_certificate(one.encode()) for one in authorities]
        verifier = (
            PolicyBuilder().store(Store(anchors)).max_chain_depth(0).time(certificate.not_valid_after_utc)
            .build_client_verifier()
        )
        names = verifier.verify(certificate, []).subjects
    except (ValueError, VerificationError) as error:
        raise BadCertificate("This client certificate was not given by this server's authority.") from error
    if names is None or len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise BadCertificate("This client certificate does not name one client.")
    digits = f"{certificate.serial_number:x}"
    digits = digits.zfill(len(digits) + len(digits) % 2)
    return Presented(
        ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)), names[0].value, thumbprint(der),
        certificate.not_valid_before_utc, certificate.not_valid_after_utc,
    )


def named(uri: str, settings: Settings) -> str:
    """The client id in the certificate's SPIFFE URI; empty when the name is not of this server's giving."""
    start = f"spiffe://{settings.host}/client/"
    return uri.removeprefix(start) if uri.startswith(start) else ""


WRITTEN = Made(
    select(Certificate.client, Certificate.thumbprint, Certificate.revoked_at).where(Certificate.serial == bindparam("serial"))
)


def check(session: Where, presented: Presented, client: str, now: datetime) -> None:
    """Raises BadCertificate unless it is in time, written down as this client's, and was not taken back."""
    if not presented.begins <= now < presented.ends:
        raise BadCertificate("This client certificate has expired, or is not valid yet. A client renews its certificate in time.")
    row = direct(session).row(WRITTEN, {"serial": presented.serial})
    owner, known, revoked_at = row or ("", "", None)
    if row is None or owner != client or not hmac.compare_digest(known, presented.thumbprint):
        raise BadCertificate("This client certificate is not known here.")
    if revoked_at is not None:
        raise BadCertificate("This client certificate was revoked.")
