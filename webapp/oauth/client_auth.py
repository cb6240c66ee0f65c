"""The one place where a token client proves who it is: by a client certificate (RFC 8705) or a signed assertion (RFC 7523).

There are no shared secrets: what both sides know, either side can lose.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from authlib.oauth2.rfc6749 import InvalidClientError

from webapp.clients import keys, lookup
from webapp.clients.tables import Client
from webapp.db.direct import Where
from webapp.oauth import metadata, rfc7523, rfc8705
from webapp.oauth.rfc7523 import BadAssertion
from webapp.oauth.rfc8705 import BadCertificate
from webapp.web.house import House

if TYPE_CHECKING:
    from webapp.oauth.server import Request

log = logging.getLogger("counterseal")

METHODS = (rfc8705.METHOD, rfc7523.METHOD)
NO_SECRETS = "There are no client secrets here. A token client proves itself with its key or its certificate."


@dataclass(frozen=True)
class Authenticated:
    """A token client that proved itself. `thumbprint` is `x5t#S256` of its certificate; None for a key."""

    client: Client
    method: str
    thumbprint: str | None


def authenticate(house: House, request: Request) -> Authenticated:
    """Who sends this request. Raises authlib's InvalidClientError (401), with a sentence on what to do; VaultAway and the like
    where the authority's certificate cannot be had; LimitReached, before anything was written.

    1. No secret, and not two proofs in one request (RFC 6749 section 2.3).
    2. The client that is claimed is a token client of ours, and active.
    3. It proves itself by the one method that it was registered with.
    """
    refuse_secrets(request)
    assertion = _assertion(request)
    if assertion is not None and request.peer is not None:
        refuse("Two proofs were sent, an assertion and a certificate: send the one that this client is registered with.")
    try:
        return _by_assertion(house, request, assertion) if assertion is not None else _by_certificate(house, request)
    except (BadAssertion, BadCertificate) as error:
        log.info("client refused: %s", error)
        refuse(str(error))


def refuse(sentence: str) -> NoReturn:
    raise InvalidClientError(sentence, status_code=401)


def refuse_secrets(request: Request) -> None:
    """Also an Authorization header: HTTP Basic, which has a secret too, or a bearer token, which is no client's proof."""
    if request.headers.get("Authorization") or "client_secret" in request.form:
        refuse(NO_SECRETS)


def asserts(request: Request) -> bool:
    """Whether a client assertion was sent, or half of one."""
    return any(name in request.form for name in ("client_assertion", "client_assertion_type"))


def _assertion(request: Request) -> str | None:
    """Section 2.2 of RFC 7523. What was sent twice, or half, is no proof."""
    if not asserts(request):
        return None
    sent, kind = request.form.getlist("client_assertion"), request.form.getlist("client_assertion_type")
    if len(sent) != 1 or kind != [rfc7523.TYPE]:
        refuse(f"Send client_assertion once, with client_assertion_type {rfc7523.TYPE}.")
    return str(sent[0])


def _by_assertion(house: House, request: Request, assertion: str) -> Authenticated:
    now, settings = house.clock(), house.settings
    claimed = rfc7523.claimed(assertion)
    with house.database.read() as session:
        client = _active(session, request, claimed, rfc7523.METHOD)
        found = keys.live(session, client.id)
    audiences = (metadata.issuer(settings), settings.public_url + metadata.TOKEN)
    verified = rfc7523.verify(assertion, found, expected_client=client.id, expected_audiences=audiences, now=now)
    _paced(request, client, now)
    if not house.database.commit(lambda s: rfc7523.spend(s, client.id, verified, now)):
        raise BadAssertion("This client_assertion was used before. Make a new one, with a new jti, for each request.")
    return Authenticated(client, rfc7523.METHOD, None)


def _by_certificate(house: House, request: Request) -> Authenticated:
    if request.peer is None:
        raise BadCertificate("This client must prove itself: by its client certificate, or by a client_assertion.")
    presented = rfc8705.read(request.peer, house.door.client_anchors())
    now = house.clock()
    with house.database.look() as session:
        client = _active(session, request, rfc8705.named(presented.uri, house.settings), rfc8705.METHOD)
        rfc8705.check(session, presented, client.id, now)
    _paced(request, client, now)
    return Authenticated(client, rfc8705.METHOD, presented.thumbprint)


def _paced(request: Request, client: Client, now: datetime) -> None:
    if request.pace is not None:
        request.pace.take(client.id, now)


def _active(session: Where, request: Request, claimed: str, method: str) -> Client:
    """The token client that is claimed. `client_id`, if it is sent, agrees with the proof (RFC 7521 section 4.2)."""
    if any(named != claimed for named in request.form.getlist("client_id")):
        refuse("client_id is not the client that the proof is for.")
    row = lookup.registered(session, claimed)
    if row is None or row[0].kind != "token":
        refuse("This token client is not registered here.")
    client, registered, *_ = row
    if client.status != "active":
        refuse("This client was paused or revoked by an administrator.")
    if registered != method:
        refuse(f"This client is registered with {registered}, and proves itself by nothing else.")
    return client
