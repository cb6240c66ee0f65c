"""Opaque tokens: 256 bits behind a prefix that secret scanners know, stored as SHA-256, checked by one indexed read."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select

from webapp.clients import certificates
from webapp.clients.tables import Client
from webapp.db.direct import Made, Where, direct
from webapp.errors import CountersealError
from webapp.oauth.tables import AccessToken, Grant
from webapp.people.tables import Person

ACCESS = "csa_"
REFRESH = "csr_"
CODE = "csc_"
BODY = r"[A-Za-z0-9_-]{43}"
SHAPE = {prefix: re.compile(prefix + BODY) for prefix in (ACCESS, REFRESH, CODE)}
ANY_TOKEN = re.compile(f"(?:{ACCESS}|{REFRESH}){BODY}")


class InvalidToken(CountersealError):
    """RFC 6750 section 3.1: `code` is `invalid_request`, `invalid_token` or `insufficient_scope`."""

    default = "invalid_token"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid access token speaks for: an agent, in a person's name, at one resource."""

    person: str
    person_name: str
    client: str
    client_name: str
    client_verified: bool
    grant: str
    resource: str
    scopes: tuple[str, ...]
    mtls: bool = False
    """Whether the token is bound to a client certificate, which came with it."""


def new(prefix: str) -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(raw: str) -> bytes:
    """What is stored. A value of 256 random bits needs no salt and no stretching."""
    return hashlib.sha256(raw.encode()).digest()


def shaped(raw: str, prefix: str) -> bool:
    return SHAPE[prefix].fullmatch(raw) is not None


FIND = Made(
    select(
        AccessToken.expires_at, AccessToken.revoked_at, Grant.id, Grant.status, Grant.resource, Grant.scopes,
        Client.id, Client.name, Client.status, Client.verified, Person.id, Person.name, Person.suspended,
        AccessToken.confirmation,
    )
    .join(Grant, Grant.id == AccessToken.grant)
    .join(Client, Client.id == Grant.client)
    .join(Person, Person.id == Grant.person)
    .where(AccessToken.hash == bindparam("hash"))
)


def authenticate(session: Where, raw: str, resource: str, now: datetime, peer: bytes | None = None) -> Caller:
    """The caller that an access token speaks for at `resource`. One read by primary key, nothing cached: what was revoked,
    paused or expired holds from this request on (promise 4). It is looked up by its hash: no comparison of it can be timed.

    `peer` is the client certificate (DER) that the request came with. Raises InvalidToken: malformed, unknown, expired or
    revoked; its client paused or revoked, its person suspended; given for another resource (RFC 8707 section 2: a token for one
    server is refused at every other); or bound to a certificate that did not come with it, or is no longer good (RFC 8705
    section 3).
    """
    if not shaped(raw, ACCESS):
        raise InvalidToken("That is not an access token of this server.")
    row = direct(session).row(FIND, {"hash": digest(raw)})
    if row is None:
        raise InvalidToken("The access token is not known here.")
    (expires_at, token_revoked, grant, grant_status, for_resource, scopes,
     client, client_name, client_status, verified, person, person_name, suspended, confirmation) = row
    if suspended:
        raise InvalidToken("The person that this token speaks for is suspended.")
    if token_revoked is not None or grant_status != "active":
        raise InvalidToken("The access token was revoked.")
    if expires_at <= now:
        raise InvalidToken("The access token has expired.")
    if client_status != "active":
        raise InvalidToken(f"This agent was {client_status} by an administrator.")
    if for_resource != resource:
        raise InvalidToken("The access token was given for another server.")
    if confirmation:
        confirmed(session, confirmation, peer, now)
    return Caller(person, person_name, client, client_name, verified, grant, for_resource, tuple(scopes), bool(confirmation))


def confirmed(session: Where, confirmation: str, peer: bytes | None, now: datetime) -> None:
    """RFC 8705 section 3: raises InvalidToken unless the request came with the very certificate that the token is bound to, and
    nobody took it back since."""
    if peer is None or not hmac.compare_digest(certificates.thumbprint(peer), confirmation):
        raise InvalidToken("The access token is bound to a client certificate, which did not come with it.")
    if not certificates.good(session, confirmation, now):
        raise InvalidToken("The client certificate that the access token is bound to was revoked, or has expired.")
