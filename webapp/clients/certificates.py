"""Client certificates that the keeper's authority gave: written down, found again, taken back."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from vault.door import Certified
from webapp import audit
from webapp.clients.tables import Certificate
from webapp.db.count import changed
from webapp.db.direct import Made, Where, direct
from webapp.db.due import enqueue
from webapp.errors import Conflict, Missing

REVOKE = "clients.revoke_certificate"
"""The due row that puts a certificate on the authority's own list too."""


def thumbprint(der: bytes) -> str:
    """`x5t#S256` (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def record(session: Session, client: str, given: Certified, *, actor: str, now: datetime) -> None:
    """Only a certificate that is written down here is ever believed: whatever else the authority signs counts for nothing."""
    der = x509.load_pem_x509_certificate(given.pem.encode()).public_bytes(Encoding.DER)
    session.add(Certificate(
        serial=given.serial, client=client, thumbprint=thumbprint(der), issued_at=now, not_after=given.not_after,
    ))
    session.flush()
    audit.append(session, kind="client.certified", actor=actor, subject=client, at=now,
                 detail={"serial": given.serial, "not_after": given.not_after.isoformat()})


def live(session: Session, client: str, now: datetime) -> list[Certificate]:
    """The client's certificates that are good now, the newest first."""
    return list(session.scalars(
        select(Certificate).where(Certificate.client == client, Certificate.revoked_at.is_(None), Certificate.not_after > now)
        .order_by(Certificate.issued_at.desc(), Certificate.serial)
    ))


STANDING = Made(select(Certificate.revoked_at, Certificate.not_after).where(Certificate.thumbprint == bindparam("x5t")))


def good(session: Where, x5t: str, now: datetime) -> bool:
    """Whether the certificate with this thumbprint is in time and was not taken back."""
    row = direct(session).row(STANDING, {"x5t": x5t})
    return row is not None and row[0] is None and row[1] > now


def revoke(session: Session, serial: str, *, actor: str, now: datetime) -> None:
    """From the next request on it is refused here, with every token bound to it; the worker tells the authority, until it has
    heard. Raises Missing, Conflict."""
    row = session.get(Certificate, serial)
    if row is None:
        raise Missing("There is no such certificate.")
    done = session.execute(
        update(Certificate).where(Certificate.serial == serial, Certificate.revoked_at.is_(None)).values(revoked_at=now)
    )
    if changed(done) != 1:
        raise Conflict("This certificate was revoked already.")
    enqueue(session, REVOKE, serial, now)
    audit.append(session, kind="client.certificate_revoked", actor=actor, subject=row.client, at=now, detail={"serial": serial})


def revoke_all(session: Session, client: str, *, actor: str, now: datetime) -> None:
    for row in live(session, client, now):
        revoke(session, row.serial, actor=actor, now=now)
