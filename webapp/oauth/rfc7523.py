"""RFC 7523, client assertions: a JWT that a client signed with its own key, for us, for minutes, and for one use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import import_key
from sqlalchemy import bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite

from webapp.clients import keys
from webapp.clients.tables import ClientKey
from webapp.db.direct import Made, Where, direct
from webapp.oauth.tables import Assertion

METHOD = "private_key_jwt"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "PS256", "Ed25519")
CLIENT = re.compile(r"[0-9a-z_]{1,64}", re.ASCII)
"""A client_id as we give it: nothing else is asked of the database."""
LONGEST = 4096
"""Characters of an assertion."""
AHEAD = 300
"""Seconds that an assertion may have left to live."""
SKEW = 30
"""Seconds by which the client's clock may be ahead of ours."""
REMEMBERED = timedelta(seconds=AHEAD + SKEW)
"""How much longer than it can be valid a spent assertion is remembered."""


class BadAssertion(Exception):
    """Its text is a sentence for whoever runs the client."""


@dataclass(frozen=True)
class Verified:
    jti: str
    expires_at: datetime


def claimed(assertion: str) -> str:
    """Whom an assertion claims to come from, before anything of it is verified: only to find whose keys to verify it with."""
    parts = assertion.split(".")
    if len(assertion) > LONGEST or len(parts) != 3:
        raise BadAssertion("client_assertion is not a signed JWT.")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadAssertion("client_assertion is not a signed JWT.") from error
    subject = claims.get("sub") if isinstance(claims, dict) else None
    if not isinstance(subject, str) or CLIENT.fullmatch(subject) is None:
        raise BadAssertion("client_assertion names no client: sub is the client_id.")
    return subject


def verify(
    assertion: str, found: Sequence[ClientKey], *, expected_client: str, expected_audiences: Collection[str], now: datetime
) -> Verified:
    """Section 3. Raises BadAssertion.

    1. it is signed with one of the client's live keys, by the one algorithm that this key has here (its header has no say);
    2. `iss` and `sub` are the client; 3. `aud` is this server's issuer or token endpoint, and nobody else's;
    4. `exp` is in the next five minutes, `iat` and `nbf` are not in the future; 5. `jti` can be remembered.
    """
    claims = _signed(assertion, found)  # 1
    if claims.get("iss") != expected_client or claims.get("sub") != expected_client:  # 2
        raise BadAssertion("iss and sub of client_assertion must both be the client_id.")
    audience = claims.get("aud")
    one = audience[0] if isinstance(audience, list) and len(audience) == 1 else audience
    if not isinstance(one, str) or one not in expected_audiences:  # 3
        raise BadAssertion("aud of client_assertion must be this server's issuer, alone.")
    expires = _times(claims, now.timestamp())  # 4
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 256 or not jti.isprintable():  # 5
        raise BadAssertion("client_assertion needs a jti of at most 256 characters, a new one each time.")
    return Verified(jti, datetime.fromtimestamp(expires, UTC))


FORGET = Made(delete(Assertion).where(Assertion.expires_at < bindparam("now")))
COLUMNS = ("hash", "expires_at")
SPEND = {
    "postgresql": Made(postgresql.insert(Assertion).on_conflict_do_nothing().returning(Assertion.hash), COLUMNS),
    "sqlite": Made(sqlite.insert(Assertion).on_conflict_do_nothing().returning(Assertion.hash), COLUMNS),
}


def spend(session: Where, client: str, verified: Verified, now: datetime) -> bool:
    """Whether this is the assertion's first use. Two at once: the database lets one in. Old ones are forgotten on the way."""
    on = direct(session)
    on.run(FORGET, {"now": now})
    used = hashlib.sha256(f"{client}\0{verified.jti}".encode()).digest()
    return on.row(SPEND[on.dialect.name], {"hash": used, "expires_at": verified.expires_at + REMEMBERED}) is not None


def _signed(assertion: str, found: Sequence[ClientKey]) -> Mapping[str, Any]:
    try:
        header = json.loads(base64.urlsafe_b64decode(assertion.partition(".")[0] + "==="))
        kid = header.get("kid")
        key = import_key(_chosen(found, kid).jwk)
        algorithm = keys.algorithm(key)
        if algorithm not in ALGORITHMS or header.get("alg") != algorithm:
            raise BadAssertion(f"client_assertion must be signed by {algorithm}, which this key is for.")
        return dict(jwt.decode(assertion, key, algorithms=[algorithm]).claims)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadAssertion("client_assertion is not signed by a key of this client.") from error


def _chosen(found: Sequence[ClientKey], kid: object) -> ClientKey:
    """By the `kid` it was registered with or by its thumbprint, among this client's own; without a `kid`, the only one."""
    fits = [key for key in found if kid is None or kid in (key.jwk.get("kid"), key.thumbprint)]
    if len(fits) != 1:
        raise BadAssertion("client_assertion names no live key of this client: kid is the key's kid or its thumbprint.")
    return fits[0]


def _times(claims: Mapping[str, Any], now: float) -> float:
    for name in ("exp", "iat"):
        if not isinstance(claims.get(name), int | float) or isinstance(claims[name], bool):
            raise BadAssertion(f"client_assertion needs {name}, in seconds since 1970.")
    if not now < claims["exp"] <= now + AHEAD + SKEW:
        raise BadAssertion(f"client_assertion has expired, or lives for more than {AHEAD} seconds. Compare the clocks.")
    not_before = claims.get("nbf", 0)
    ahead = isinstance(not_before, bool) or not isinstance(not_before, int | float) or not_before > now + SKEW
    if claims["iat"] > now + SKEW or ahead:
        raise BadAssertion("client_assertion is from the future. Compare the clocks.")
    return float(claims["exp"])
