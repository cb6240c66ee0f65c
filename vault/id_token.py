"""ID tokens: OpenID Connect Core section 3.1.3.7, with the algorithms pinned here and never read from the token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from vault.errors import ProviderRefused
from vault.said import said
from vault.secret import Secret

ALGORITHMS = ("RS256", "ES256", "PS256", "Ed25519")
HASHES: dict[str, Callable[[bytes], Any]] = {
    "RS256": hashlib.sha256, "ES256": hashlib.sha256, "PS256": hashlib.sha256, "Ed25519": hashlib.sha512,
}
SKEW = 60
"""Seconds by which two honest clocks may differ."""
OLDEST = 600
"""An ID token that answers a code was issued just now."""
KEYS_KEPT = 3600.0
REFETCH_EVERY = 10.0
WEAK = said("Your sign-in was not as strong as this installation asks for.")
TOO_SLOW = said("That sign-in took too long. Start again.")
OTHER_CLOCK = said("The provider's clock and this server's differ too much, or the sign-in took too long.")
TOO_OLD = said("You signed in too long ago for this installation. Sign in afresh at the identity provider.")


@dataclass(frozen=True)
class Asked:
    """What an ID token has to answer to."""

    issuer: str
    client_id: str
    nonce: str
    acr_values: Sequence[str] = ()
    max_age: int | None = None
    amr_values: Sequence[str] = ()
    """Methods (RFC 8176), one of which must have been used."""


class Keys:
    """Providers' signing keys by URL, kept for an hour; an unknown key id makes them be fetched once more, not more often
    than every ten seconds, so that made-up key ids cannot have us hammer the provider."""

    def __init__(self, fetch: Callable[[str], Mapping[str, Any]]) -> None:
        self._fetch = fetch
        self._kept: dict[str, tuple[float, KeySet]] = {}

    def find(self, url: str, kid: str | None) -> KeySet:
        """Raises ProviderAway, ProviderRefused."""
        at, keys = self._kept.get(url, (0.0, None))
        age = time.monotonic() - at
        known = keys is not None and (kid is None or any(key.kid == kid for key in keys))
        if keys is None or age > KEYS_KEPT or (not known and age > REFETCH_EVERY):
            keys = self._load(url)
        return keys

    def _load(self, url: str) -> KeySet:
        try:
            found = self._fetch(url)
            keys = KeySet.import_key_set(
                {"keys": [key for key in found["keys"] if key.get("use", "sig") == "sig" and key.get("kty") != "oct"]}
            )
        except (KeyError, TypeError, AttributeError, ValueError, JoseError) as error:
            raise ProviderRefused(f"keys at {url}: {error}", hint="The provider's signing keys could not be read.") from error
        self._kept[url] = (time.monotonic(), keys)
        return keys


def _refuse(detail: str, hint: str = "The provider's proof of who signed in does not verify.") -> None:
    raise ProviderRefused(f"id token: {detail}", hint=hint)


def verify(
    token: Secret[str], keys: Keys, keys_url: str, *, expected: Asked, access: Secret[str] | None, now: datetime
) -> dict[str, Any]:
    """The verified claims. Raises ProviderRefused.

    1. the algorithm is one of ours and the signature is by a key the issuer publishes;
    2. `iss` is exactly the issuer that was asked; 3. `aud` holds our client id, and `azp` is it where there are several;
    4. `exp`, `iat` and `nbf` fit the clock; 5. `nonce` is the one sent; 6. `at_hash`, where present, is the access token's;
    7. `acr`, `amr` and `auth_time`, where they were asked for, are what was asked for.
    """
    header, claims = signed(token, keys, keys_url)  # 1
    if claims.get("iss") != expected.issuer or not _text(claims.get("sub")):  # 2
        _refuse(f"iss {claims.get('iss')!r}")
    audience(claims, expected.client_id)  # 3
    _times(claims, now.timestamp())  # 4
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), expected.nonce.encode()):  # 5
        _refuse("nonce differs")
    if "at_hash" in claims and access is not None:  # 6
        _access_hash(claims["at_hash"], header["alg"], access)
    _strength(claims, expected, now.timestamp())  # 7
    return claims


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


def signed(token: Secret[str], keys: Keys, keys_url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that one of the issuer's keys signed, by an algorithm of ours. Raises ProviderRefused."""
    try:
        header = extract_compact(token.reveal().encode()).headers()
        if header.get("alg") not in ALGORITHMS:
            _refuse(f"algorithm {str(header.get('alg'))[:20]!r}")
        kid = header.get("kid")
        found = jwt.decode(
            token.reveal(), keys.find(keys_url, kid if isinstance(kid, str) else None), algorithms=list(ALGORITHMS)
        )
    except (JoseError, ValueError, TypeError) as error:
        raise ProviderRefused(f"id token: {error}", hint="The provider's proof of who signed in does not verify.") from error
    return dict(found.header), dict(found.claims)


def audience(claims: Mapping[str, Any], client_id: str) -> None:
    """Raises ProviderRefused for a token that was made for somebody else."""
    given = claims.get("aud")
    several = given if isinstance(given, list) else [given]
    if client_id not in several:
        _refuse("not for this client")
    if (len(several) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        _refuse("azp differs")


def _times(claims: Mapping[str, Any], now: float) -> None:
    for name in ("exp", "iat"):
        if not isinstance(claims.get(name), int | float) or isinstance(claims[name], bool):
            _refuse(f"no {name}")
    if now > claims["exp"] + SKEW:
        _refuse("expired", TOO_SLOW)
    if claims["iat"] > now + SKEW or claims["iat"] < now - OLDEST - SKEW:
        _refuse("issued at another time", OTHER_CLOCK)
    not_before = claims.get("nbf", 0)
    if not isinstance(not_before, int | float) or not_before > now + SKEW:
        _refuse("not valid yet")


def _access_hash(value: Any, algorithm: str, access: Secret[str]) -> None:
    """OpenID Connect Core section 3.1.3.6: the left half of the hash, base64url."""
    hashed = HASHES[algorithm](access.reveal().encode("ascii")).digest()
    half = base64.urlsafe_b64encode(hashed[: len(hashed) // 2]).rstrip(b"=")
    if not isinstance(value, str) or not hmac.compare_digest(half, value.encode()):
        _refuse("at_hash differs")


def _strength(claims: Mapping[str, Any], expected: Asked, now: float) -> None:
    if expected.acr_values and claims.get("acr") not in expected.acr_values:
        _refuse(f"acr {claims.get('acr')!r}", WEAK)
    used = claims.get("amr")
    if expected.amr_values and not (isinstance(used, list) and any(method in used for method in expected.amr_values)):
        _refuse(f"amr {used!r}", WEAK)
    if expected.max_age is None:
        return
    at = claims.get("auth_time")
    if not isinstance(at, int | float) or isinstance(at, bool) or at > now + SKEW or now - at > expected.max_age + SKEW:
        _refuse("auth_time", TOO_OLD)
