"""Signing in at the identity provider: the OIDC code flow, finished in the keeper, so that nobody else can say who signed in."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vault import authority, signed_out, tickets
from vault.answers import Tokens
from vault.client_secrets import before
from vault.errors import BadRequest, NotKnown, ProviderRefused
from vault.id_token import Asked, verify
from vault.people import Person, record
from vault.providers.catalogue import facts
from vault.table import Body, Keeper, mapping, secret, segment, text
from vault.upstream import Endpoints, Request, authorization_url, check_answer, redeem, resolve, userinfo
from vault.upstreams import upstreams

log = logging.getLogger("counterseal.keeper.sso")

PURPOSE = "sign-in"
LIFETIME = 900
LISTS = ("scopes", "acr_values", "amr_values")
STEP_UP = ("step_up_acr", "step_up_amr")
"""By authentication context, and by method (RFC 8176): what signing in again for a decision counts as. Where they are not there,
nobody decides in this way."""
STRENGTHS = ("totp", "passkey")
KEYS = frozenset({"issuer", "client_id", "client_secret", "groups_claim", "max_age", "groups_by_subject", *LISTS, *STEP_UP})
GROUPS_MOST = 200
TEXT_MOST = 200


def idp_put(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.idp_put`. Groups fixed by subject are for evaluation persons alone: elsewhere groups come from verified claims."""
    name, found = segment(body, "name"), mapping(body, "record")
    unknown = set(found) - KEYS
    if unknown or not all(isinstance(found.get(key), str) and found[key] for key in ("issuer", "client_id")):
        raise BadRequest(
            f"idp {name}: {sorted(unknown)}",
            hint="An identity provider needs an issuer and a client id, and its known settings alone."
        )
    if "groups_by_subject" in found and not keeper.settings.evaluation:
        raise BadRequest(
            "groups_by_subject outside an evaluation instance", hint="Groups are fixed by subject in evaluation instances only."
        )
    _check_types(found)
    upstreams(keeper).transport.check(found["issuer"])
    keeper.kv.update(f"idps/{name}", lambda _before: (dict(found), None))
    log.info("identity provider %s was stored", name)
    return {}


def _check_types(found: Mapping[str, Any]) -> None:
    lists = all(isinstance(found.get(key, []), list) for key in LISTS)
    age = found.get("max_age")
    if not lists or not (age is None or (isinstance(age, int) and not isinstance(age, bool) and age >= 0)):
        raise BadRequest("idp", hint="`scopes`, `acr_values` and `amr_values` are lists, `max_age` is a number of seconds.")
    for ways in (found.get(key, {}) for key in STEP_UP):
        if not isinstance(ways, dict) or not all(isinstance(name, str) and name for name in ways) or not all(
            one in STRENGTHS for one in ways.values()
        ):
            raise BadRequest("idp", hint="`step_up_acr` and `step_up_amr` say of each value: it counts as totp, or as passkey.")
    if not isinstance(found.get("groups_by_subject", {}), dict) or not isinstance(found.get("groups_claim", "groups"), str):
        raise BadRequest(
            "idp", hint="`groups_by_subject` maps subjects to lists of groups, `groups_claim` is the name of a claim."
        )


def sign_in_begin(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.sign_in_begin`."""
    name, redirect_uri = segment(body, "idp"), text(body, "redirect_uri")
    at, idp = known_idp(keeper, name)
    scopes = tuple(dict.fromkeys(("openid", *(idp.get("scopes") or ("profile", "email")))))
    request = Request()
    url = authorization_url(
        at, request, redirect_uri=redirect_uri, scopes=scopes, login_hint=text(body, "login_hint", limit=320, optional=True),
        acr_values=" ".join(idp.get("acr_values") or ()), max_age=str(idp["max_age"]) if idp.get("max_age") is not None else "",
    )
    kept = {
        "idp": name, "redirect_uri": redirect_uri, "state": request.state, "request_nonce": request.nonce,
        "verifier": request.verifier,
    }
    return {"url": url, "state": request.state, "sealed": keeper.seal.seal(PURPOSE, kept, now=keeper.clock(), lifetime=LIFETIME)}


def sign_in_finish(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.sign_in_finish`.

    1. the attempt is ours and fresh; 2. state and issuer are those of the request; 3. the code is redeemed; 4. the ID token is
    verified, and answers this very request; 5. the person is known by issuer and subject, the groups by verified claims; 6. both
    are recorded, and the ticket is bound to the session.
    """
    now = keeper.clock()
    begun = keeper.seal.open(PURPOSE, text(body, "sealed"), now=now)  # 1
    at, idp = known_idp(keeper, begun["idp"])
    iss = text(body, "iss") if body.get("iss") is not None else None
    check_answer(at, expected_state=begun["state"], state=text(body, "state"), iss=iss)  # 2
    code, session = secret(body, "code"), secret(body, "session", limit=512)
    tokens = redeem(
        at, upstreams(keeper).transport, code=code, verifier=begun["verifier"], redirect_uri=begun["redirect_uri"], now=now
    )  # 3
    claims = _claims(keeper, at, idp, tokens, begun["request_nonce"], now)  # 4
    person = _person(keeper, at, idp, claims, now)  # 5
    record(keeper, person)  # 6
    auth_time = claims.get("auth_time")
    signed_at = datetime.fromtimestamp(auth_time, UTC) if isinstance(auth_time, int | float) else None
    ticket = tickets.new(
        person=person.id, name=person.name, email=person.email, groups=person.groups, auth_time=signed_at, now=now,
        generation=signed_out.generation(keeper, person.id),
    )
    log.info("signed in person=%s issuer=%s", person.id, person.issuer)
    return {
        "person": person.id, "issuer": person.issuer, "subject": person.subject, "name": person.name, "email": person.email,
        "groups": list(person.groups), "claims": _public(claims), "ticket": authority.issue(keeper, ticket, session),
        "step_up": strongest(idp),
    }


def strongest(record: Mapping[str, Any]) -> str:
    """The most that signing in again for a decision can count as at this provider: `passkey`, `totp`, or nothing."""
    counted = {one for key in STEP_UP for one in (record.get(key) or {}).values()}
    return next((one for one in reversed(STRENGTHS) if one in counted), "")


def known_idp(keeper: Keeper, name: str) -> tuple[Endpoints, dict[str, Any]]:
    found = keeper.kv.read(f"idps/{name}")
    if found is None:
        raise NotKnown(f"idp {name}", hint="No identity provider is set up here yet.")
    ours = upstreams(keeper)
    generic = facts(ours.catalogue(), name="sign-in", entry="oidc").model_copy(update={"authorize_params": {}})
    tried = [one.value for one in before(found.data, keeper.clock())]
    at = resolve(generic, found.data, ours.transport, ours.discovery, tried)
    if not at.jwks_url:
        raise ProviderRefused("no jwks_uri", hint="The identity provider does not say where its signing keys are.")
    return at, found.data


def _claims(keeper: Keeper, at: Endpoints, idp: Mapping[str, Any], tokens: Tokens, nonce: str, now: datetime) -> dict[str, Any]:
    """The ID token's claims; name, e-mail and groups from the user information where the ID token lacks them."""
    if tokens.id_token is None:
        raise ProviderRefused("no id token", hint="The identity provider did not say who signed in.")
    ours = upstreams(keeper)
    acr, amr = tuple(idp.get("acr_values") or ()), tuple(idp.get("amr_values") or ())
    asked = Asked(at.issuer, at.client_id, nonce, acr, idp.get("max_age"), amr)
    claims = verify(tokens.id_token, ours.keys, at.jwks_url, expected=asked, access=tokens.access, now=now)
    wanted = {"name", "email", *({idp["groups_claim"]} if idp.get("groups_claim") else set())}
    if at.userinfo_url and not wanted <= set(claims):
        more = userinfo(at, ours.transport, tokens.access)
        if more.get("sub") != claims["sub"]:  # OpenID Connect Core section 5.3.2
            raise ProviderRefused("userinfo sub differs", hint="The identity provider named two different persons.")
        claims = {**{key: more[key] for key in wanted if key in more}, **claims}
    return claims


def person_id(issuer: str, subject: str) -> str:
    """The same person for ever: issuer and subject, and nothing that can be renamed or handed to somebody else."""
    hashed = hashlib.sha256(f"{issuer}\0{subject}".encode()).digest()
    return "per_" + base64.b32encode(hashed).decode("ascii").lower()[:26]


def _person(keeper: Keeper, at: Endpoints, idp: Mapping[str, Any], claims: Mapping[str, Any], now: datetime) -> Person:
    subject = str(claims["sub"])
    name = next(
        (str(claims[key]) for key in ("name", "preferred_username", "email") if isinstance(claims.get(key), str)), subject
    )
    email = str(claims["email"]) if isinstance(claims.get("email"), str) else ""
    return Person(
        person_id(at.issuer, subject), at.issuer, subject, name[:TEXT_MOST], email[:320], _groups(keeper, idp, subject, claims),
        now
    )


def _groups(keeper: Keeper, idp: Mapping[str, Any], subject: str, claims: Mapping[str, Any]) -> tuple[str, ...]:
    fixed = idp.get("groups_by_subject")
    if fixed is not None:
        if not keeper.settings.evaluation:
            raise BadRequest("groups_by_subject outside an evaluation instance")
        found = fixed.get(subject, [])
    else:
        found = claims.get(idp.get("groups_claim") or "groups", [])
    groups = [found] if isinstance(found, str) else found
    if not isinstance(groups, list):
        return ()
    return tuple(sorted({one for one in groups if isinstance(one, str) and 0 < len(one) <= TEXT_MOST}))[:GROUPS_MOST]


PUBLIC = (
    "iss", "sub", "sid", "aud", "exp", "iat", "auth_time", "acr", "amr", "name", "email", "email_verified", "locale", "zoneinfo",
)


def _public(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims that the app has a use for; the nonce and hashes stay here."""
    return {key: claims[key] for key in PUBLIC if key in claims}


HANDLERS = {"idp_put": idp_put, "sign_in_begin": sign_in_begin, "sign_in_finish": sign_in_finish}
