"""Session tickets: the keeper's signed word that a person signed in, bound to one session cookie.

A ticket is `base64url(canonical JSON) "." signature`. The app verifies it locally for each request (`verify`), so that a row
written into the database is nobody's session.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from vault.errors import NotSignedIn
from vault.evidence import canonical
from vault.secret import Secret
from vault.signatures import BadSignature, check

LIFETIME = 24 * 3600
"""Seconds from the sign-in; checking a factor does not make it longer."""
SKEW = 30
RECOVERY, READMITTED = "recovery", "readmitted"
"""Recorded where a recovery code was spent, or two administrators let somebody in again: they enrol a factor, and are none."""
NO_FACTOR = frozenset({"", RECOVERY, READMITTED})


@dataclass(frozen=True)
class Ticket:
    person: str
    name: str
    email: str
    groups: tuple[str, ...]
    auth_time: datetime | None
    """When the identity provider says it authenticated the person."""
    issued_at: datetime
    expires_at: datetime
    factor: str = ""
    """`passkey`, `totp`, or what stands in for one; empty until something was checked in this session."""
    factor_at: datetime | None = None
    generation: int = 0
    """Of the person's sessions when they signed in: one of before does not count (`vault.signed_out`)."""


def new(
    *, person: str, name: str, email: str, groups: tuple[str, ...], auth_time: datetime | None, now: datetime, generation: int = 0
) -> Ticket:
    """The ticket of a sign-in that has just succeeded, without a factor."""
    now = now.replace(microsecond=0)
    return Ticket(person, name, email, groups, auth_time, now, now + timedelta(seconds=LIFETIME), generation=generation)


def with_factor(ticket: Ticket, kind: str, now: datetime) -> Ticket:
    """The same sign-in after a factor was checked; it ends when it would have ended."""
    now = now.replace(microsecond=0)
    return replace(ticket, issued_at=now, factor=kind, factor_at=now)


def body(ticket: Ticket, session: Secret[str]) -> bytes:
    """The bytes to sign."""
    return canonical({
        "v": 1, "kind": "ticket", "person": ticket.person, "name": ticket.name, "email": ticket.email,
        "groups": list(ticket.groups), "auth_time": _seconds(ticket.auth_time), "issued_at": _seconds(ticket.issued_at),
        "expires_at": _seconds(ticket.expires_at), "factor": ticket.factor, "factor_at": _seconds(ticket.factor_at),
        "session": session_hash(session), "generation": ticket.generation,
    })


def join(signed: bytes, signature: str) -> str:
    return base64.urlsafe_b64encode(signed).decode().rstrip("=") + "." + signature


def verify(ticket: str, session: Secret[str], keys: Mapping[int, bytes], now: datetime) -> Ticket:
    """1. It has the form of a ticket. 2. The keeper's authority signed it. 3. It is a ticket, and nothing else the authority
    signs. 4. It belongs to this session. 5. It has not expired, and was not issued in the future. Raises NotSignedIn."""
    encoded, _, signature = ticket.partition(".")
    try:
        signed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))  # 1
        check(signed, signature, keys)  # 2
        found: dict[str, Any] = json.loads(signed)
    except (BadSignature, ValueError, binascii.Error) as error:
        raise NotSignedIn("the ticket does not verify") from error
    if not isinstance(found, dict) or found.get("v") != 1 or found.get("kind") != "ticket":  # 3
        raise NotSignedIn("signed, but not a ticket")
    if not hmac.compare_digest(str(found["session"]), session_hash(session)):  # 4
        raise NotSignedIn("the ticket belongs to another session")
    if not found["issued_at"] - SKEW <= now.timestamp() < found["expires_at"]:  # 5
        raise NotSignedIn("the ticket has expired")
    return _ticket(found, now)


def _ticket(found: Mapping[str, Any], now: datetime) -> Ticket:
    def moment(name: str) -> datetime | None:
        return None if found[name] is None else datetime.fromtimestamp(found[name], now.tzinfo)

    issued, expires = moment("issued_at"), moment("expires_at")
    assert issued is not None
    assert expires is not None
    return Ticket(
        found["person"], found["name"], found["email"], tuple(found["groups"]), moment("auth_time"), issued, expires,
        found["factor"], moment("factor_at"), int(found.get("generation", 0)),
    )


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def session_hash(session: Secret[str]) -> str:
    """What names a session to whoever does not have its cookie: hex SHA-256."""
    return hashlib.sha256(session.reveal().encode()).hexdigest()
