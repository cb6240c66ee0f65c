"""Logout tokens: the identity provider says that somebody signed out there (OpenID Connect Back-Channel Logout 1.0, section 2.6).

Anybody can send one: what it says is believed for its signature alone, and it can end sessions, nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from vault.errors import ProviderRefused
from vault.id_token import OLDEST, SKEW, Keys, audience, signed
from vault.secret import Secret
from vault.sso import known_idp, person_id
from vault.table import Body, Keeper, secret, segment
from vault.upstreams import upstreams

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TYPES = ("logout+jwt", "application/logout+jwt", "jwt")
"""A token that says it is something else is not taken for this. Older providers say nothing, or `JWT`."""
LONGEST = 255


def logout_token(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.logout_token`."""
    at, _record = known_idp(keeper, segment(body, "idp"))
    token = secret(body, "token", limit=16384)
    claims = verify(
        token, upstreams(keeper).keys, at.jwks_url, issuer=at.issuer, client_id=at.client_id, now=keeper.clock()
    )
    until = datetime.fromtimestamp(claims["iat"] + OLDEST + 2 * SKEW, UTC)
    subject = claims.get("sub")
    return {
        "issuer": at.issuer, "person": person_id(at.issuer, subject) if subject else "", "sid": claims.get("sid", ""),
        "jti": claims["jti"], "until": until.isoformat(),
    }


def verify(token: Secret[str], keys: Keys, keys_url: str, *, issuer: str, client_id: str, now: datetime) -> dict[str, Any]:
    """The verified claims. Raises ProviderRefused.

    1. The algorithm is one of ours and the signature is by a key the issuer publishes; 2. it does not say that it is a token
    of another kind; 3. `iss` is the issuer, `aud` holds our client id; 4. `iat`, and `exp` where it is there, fit the clock:
    drafts of the specification had no `exp`, so `iat` bounds it; 5. it names a person, a session of theirs, or both; 6. `events`
    says that it is a logout; 7. there is no `nonce`: an ID token is not taken for it (section 4.1); 8. it has a `jti`, by which
    it is taken once.
    """
    header, claims = signed(token, keys, keys_url)  # 1
    if str(header.get("typ", "jwt")).lower() not in TYPES:  # 2
        _refuse(f"typ {str(header['typ'])[:40]!r}")
    if claims.get("iss") != issuer:  # 3
        _refuse(f"iss {str(claims.get('iss'))[:200]!r}")
    audience(claims, client_id)
    _times(claims, now.timestamp())  # 4
    named = [claims[name] for name in ("sub", "sid") if name in claims]
    if not named or not all(_text(one) for one in named):  # 5
        _refuse("names nobody")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):  # 6
        _refuse("no logout event")
    if "nonce" in claims:  # 7
        _refuse("a nonce")
    if not _text(claims.get("jti")):  # 8
        _refuse("no jti")
    return claims


def _times(claims: Mapping[str, Any], now: float) -> None:
    issued, ends = claims.get("iat"), claims.get("exp", now)
    for value in (issued, ends):
        if not isinstance(value, int | float) or isinstance(value, bool):
            _refuse("no time")
    if not now - OLDEST - SKEW <= claims["iat"] <= now + SKEW or now > ends + SKEW:
        _refuse("of another time")


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST


def _refuse(detail: str) -> NoReturn:
    raise ProviderRefused(f"logout token: {detail}", hint="This logout token does not verify.")


HANDLERS = {"logout_token": logout_token}
