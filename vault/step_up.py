"""Signing in again at the identity provider as the factor of one decision (OpenID Connect Core sections 3.1.2.1 and 5.5.1.1).

The request's nonce is what a passkey would sign: SHA-256 over the verdict, a nonce of ours and the envelope's digest. So the ID
token that comes back is for this very decision: one of a sign-in, of another action or of another verdict is not taken for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from vault import decided, factors
from vault.authority import Proven
from vault.envelope import digest
from vault.errors import FactorRefused, ProviderRefused
from vault.id_token import Asked, verify
from vault.people import Person
from vault.people import person as known
from vault.said import said
from vault.sso import known_idp, person_id, strongest
from vault.table import Body, Keeper, mapping, secret, text
from vault.upstream import Request, authorization_url, check_answer, redeem
from vault.upstreams import upstreams

PURPOSE = "step-up"
LIFETIME = 600
SKEW = 30
"""Seconds by which the provider's clock may be behind ours: an authentication of longer before we asked is not a new one."""
ROUNDED = 2
"""Seconds: the provider's times are whole ones."""
OFF = "Here nobody decides by signing in again. Use your passkey or code."
OLD = said("The identity provider did not ask you to sign in again. Use your passkey or code.")
USED = said(
    "That sign-in was used for a decision already: each decision asks for its own. Start again, or use your passkey or code."
)
WEAK = said("That sign-in is not strong enough for this decision. Use your passkey or code.")
OTHERS = said("Somebody else signed in there. Sign in as yourself.")


def offers(keeper: Keeper, name: str, person: Person) -> str:
    """What this person could have it count as, who signs in at `name`; asked before a page offers it."""
    found = keeper.kv.read(f"idps/{name}")
    return strongest(found.data) if found is not None and found.data["issuer"] == person.issuer else ""


def begin(
    keeper: Keeper, name: str, who: Proven, person: Person, *, redirect_uri: str, verdict: str, raw: bytes
) -> Mapping[str, Any]:
    """Where to send the browser. `prompt=login` and `max_age=0`: a session there is not enough. Raises FactorRefused."""
    at, record = known_idp(keeper, name)
    if not strongest(record) or at.issuer != person.issuer:
        raise FactorRefused("no step-up at this provider", hint=OFF)
    nonce, now = secrets.token_bytes(32), keeper.clock()
    request = Request(nonce=_nonce(verdict, nonce, digest(raw)))
    url = authorization_url(
        at, request, redirect_uri=redirect_uri, scopes=("openid",), prompt="login", max_age="0", login_hint=person.email,
        acr_values=" ".join(record.get("step_up_acr") or ()),
    )
    kept = {
        "person": person.id, "session": factors.bound(who), "idp": name, "redirect_uri": redirect_uri, "state": request.state,
        "verifier": request.verifier, "verdict": verdict, "digest": digest(raw), "challenge_nonce": nonce.hex(),
        "began": now.timestamp(),
    }
    return {"url": url, "state": request.state, "sealed": keeper.seal.seal(PURPOSE, kept, now=now, lifetime=LIFETIME)}


def answered(
    keeper: Keeper, who: Proven, answer: Body, *, verdict: str, envelope_digest: str, acceptable: Callable[[str], None]
) -> Mapping[str, Any]:
    """The factor of a statement.

    1. What was begun is this person's, in this session, for this decision; 2. state and issuer are those of the request; 3. the
    code is redeemed and the ID token verified, with this decision's nonce; 4. it is about the very person; 5. they signed in
    after we asked, and not to come in here; 6. `acr` or `amr` counts here, and as enough; 7. what was begun is spent, and that
    they signed in there: once is one decision. Raises FactorRefused, Stale, ProviderRefused, ProviderAway.

    Attack on 5 and 7: a web process that was taken over begins many, and takes `prompt` and `max_age` out of the addresses: the
    provider answers each from the session that one sign-in left there.
    """
    given, now = mapping(answer, "idp"), keeper.clock()
    begun = factors.opened(keeper, PURPOSE, text(answer, "sealed", limit=8192), who)  # 1
    if begun["verdict"] != verdict or begun["digest"] != envelope_digest:
        raise FactorRefused("signed in again for another decision")
    at, record = known_idp(keeper, begun["idp"])
    iss = text(given, "iss") if given.get("iss") is not None else None
    check_answer(at, expected_state=begun["state"], state=text(given, "state"), iss=iss)  # 2
    tokens = redeem(
        at, upstreams(keeper).transport, code=secret(given, "code"), verifier=begun["verifier"],
        redirect_uri=begun["redirect_uri"], now=now,
    )  # 3
    if tokens.id_token is None:
        raise ProviderRefused("no id token", hint="The identity provider did not say who signed in.")
    expected = Asked(at.issuer, at.client_id, _nonce(verdict, bytes.fromhex(begun["challenge_nonce"]), envelope_digest))
    claims = verify(tokens.id_token, upstreams(keeper).keys, at.jwks_url, expected=expected, access=tokens.access, now=now)
    if person_id(at.issuer, str(claims["sub"])) != who.ticket.person:  # 4
        _refuse("another person", OTHERS)
    since = _since(claims, begun["began"], keeper.clock().timestamp())  # 5
    came_in = _came_in(keeper, who)
    if since <= came_in:
        _refuse(f"auth_time {since}, came in at {came_in}", OLD)
    counts = _counts(record, claims)  # 6
    acceptable(counts)
    factors.spending(keeper, who.ticket.person, begun, lambda data: _once(data, since))  # 7
    return {
        "id": f"idp:{begun['idp']}", "kind": "idp", "created_at": "", "strength": counts, "issuer": at.issuer,
        "acr": str(claims.get("acr") or "")[:255], "auth_time": decided.stamp(since),
    }


def _nonce(verdict: str, nonce: bytes, envelope_digest: str) -> str:
    return decided.challenge_for(verdict, nonce, envelope_digest).hex()


def _since(claims: Mapping[str, Any], began: float, now: float) -> datetime:
    """By our clock; and by the provider's own, on which both of its times are, whether it was longer ago than we asked."""
    at = claims.get("auth_time")
    if not isinstance(at, int | float) or isinstance(at, bool) or not began - SKEW <= at <= now + SKEW:
        _refuse(f"auth_time {at!r}, asked at {began}", OLD)
    if claims["iat"] - at > now - began + ROUNDED:
        _refuse(f"auth_time {at!r}, issued at {claims['iat']!r}, asked {now - began:.1f} s ago", OLD)
    return datetime.fromtimestamp(at, UTC)


def _came_in(keeper: Keeper, who: Proven) -> datetime:
    """When they last signed in to come in: in this session by the provider's word, in any by our clock."""
    seen = known(keeper, who.ticket.person).seen_at
    return max(who.ticket.auth_time or seen, seen)


def _once(data: dict[str, Any], since: datetime) -> dict[str, Any]:
    """Later than the one that the last decision was signed for."""
    if since.timestamp() <= data.get("idp_at", 0):
        _refuse(f"auth_time {since} was used", USED)
    data["idp_at"] = since.timestamp()
    return {}


def _counts(record: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """The more of what the context and the methods count as. What nobody named counts as nothing."""
    used = claims.get("amr")
    named = [(record.get("step_up_acr") or {}).get(str(claims.get("acr")))]
    named += [(record.get("step_up_amr") or {}).get(str(one)) for one in (used if isinstance(used, list) else ())]
    if "passkey" not in named and "totp" not in named:
        _refuse(f"acr {str(claims.get('acr'))[:80]!r}", WEAK)
    return "passkey" if "passkey" in named else "totp"


def _refuse(detail: str, hint: str) -> NoReturn:
    raise FactorRefused(f"step-up: {detail}", hint=hint)
