"""Client certificates that the keeper's authority gave: written down, found again, taken back."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import ColumnElement, and_, bindparam, select, update
from sqlalchemy.orm import Session

from vault.door import Certified
from webapp import audit
from webapp.clients.tables import Certificate
from webapp.db.direct import Made, Where, direct
from webapp.db.due import enqueue
from webapp.errors import Conflict, Missing

REVOKE = "clients.revoke_certificate"
"""The due row that puts a certificate on the authority's own list too."""


def thumbprint(der: bytes) -> str:
    """`x5t#S256` (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def record(
    session: Session, client: str, given: Certified, *, actor: str, now: datetime, renewed_by: str | None = None
) -> None:
    """Only a certificate that is written down here is ever believed: whatever else the authority signs counts for nothing.
    `renewed_by` is the thumbprint of the one that asked for it. Raises Conflict where that was revoked meanwhile."""
    before = _standing(session, renewed_by) if renewed_by is not None else ""
    der = x509.load_pem_x509_certificate(given.pem.encode()).public_bytes(Encoding.DER)
    session.add(Certificate(
        serial=given.serial, client=client, thumbprint=thumbprint(der), issued_at=now, not_after=given.not_after,
        renewed_from=before,
    ))
    session.flush()
    audit.append(session, kind="client.certified", actor=actor, subject=client, at=now,
                 detail={"serial": given.serial, "not_after": given.not_after.isoformat(), "renewed_from": before})


def _standing(session: Session, x5t: str) -> str:
    """The serial, locked: a revocation at the same moment either is seen here, or sees what is written next."""
    row = session.scalars(
        select(Certificate).where(Certificate.thumbprint == x5t, Certificate.revoked_at.is_(None)).with_for_update()
    ).one_or_none()
    if row is None:
        raise Conflict("The certificate that asked for this was revoked meanwhile.")
    return row.serial


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
    """From the next request on it is refused here, with every certificate that was renewed from it, by whomever, and every token
    bound to one of them; the worker tells the authority, until it has heard. Raises Missing, Conflict.

    Attack: who stole a certificate with its key renews it onto a key of their own. Revoking the stolen one ends that too.
    """
    row = session.get(Certificate, serial)
    if row is None:
        raise Missing("There is no such certificate.")
    if _end(session, Certificate.serial == serial, row.client, actor=actor, now=now) != 1:
        raise Conflict("This certificate was revoked already.")
    family = select(Certificate.serial).where(Certificate.serial == serial).cte("family", recursive=True)
    family = family.union(select(Certificate.serial).where(Certificate.renewed_from == family.c.serial))
    while _end(session, Certificate.serial.in_(select(family.c.serial)), row.client, actor=actor, now=now, cause=serial):
        pass  # once more: a renewal that was under way has been written by now


def revoke_all(session: Session, client: str, *, actor: str, now: datetime) -> None:
    """All that are good now."""
    while _end(session, and_(Certificate.client == client, Certificate.not_after > now), client, actor=actor, now=now):
        pass  # once more: a renewal that was under way has been written by now


def _end(
    session: Session, which: ColumnElement[bool], client: str, *, actor: str, now: datetime, cause: str = ""
) -> int:
    """How many were ended. `cause` is the one that these were renewed from; of them only those that are in time are told of."""
    ended = session.execute(
        update(Certificate).where(which, Certificate.revoked_at.is_(None)).values(revoked_at=now)
        .returning(Certificate.serial, Certificate.not_after),
        execution_options={"synchronize_session": False},
    ).all()
    for serial, not_after in sorted(ended):
        if cause and not_after <= now:
            continue
        enqueue(session, REVOKE, serial, now)
        detail = {"serial": serial, **({"renewed_from": cause} if cause else {})}
        audit.append(session, kind="client.certificate_revoked", actor=actor, subject=client, at=now, detail=detail)
    return len(ended)
