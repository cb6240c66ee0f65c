"""Connecting a person's account at a provider: consent is asked for, and its code traded in. The tokens go to the vault."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from vault.answers import Tokens, found_at
from vault.ending import discard, replaced
from vault.errors import BadRequest, KeeperError, NotKnown, ProviderRefused, Stale
from vault.id_token import Asked, verify
from vault.kv import CasConflict
from vault.record import Live, Record, event, fingerprint, noted
from vault.renewal import load, save
from vault.said import said
from vault.table import Body, Keeper, flag, secret, segment, strings, text
from vault.upstream import Endpoints, Request, authorization_url, check_answer, pick, redeem, userinfo
from vault.upstreams import endpoints, upstreams

log = logging.getLogger("counterseal.keeper.accounts")

PURPOSE = "connect"
LIFETIME = 900
WRITES = 8
GONE = "This account was disconnected meanwhile. Connect it anew."


def connect_begin(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connect_begin`. The provider's own base scopes (`openid`, offline access) are added; `pick` has it ask which account,
    where it can."""
    provider, person = segment(body, "provider"), segment(body, "person")
    at = endpoints(keeper, provider)
    scopes = tuple(dict.fromkeys((*at.facts.base_scopes, *strings(body, "scopes"))))
    request, redirect_uri = Request(), text(body, "redirect_uri")
    more = pick(at) if flag(body, "pick") else {}
    url = authorization_url(at, request, redirect_uri=redirect_uri, scopes=scopes, **more)
    kept = {
        "provider": provider, "person": person, "scopes": list(scopes), "redirect_uri": redirect_uri,
        "state": request.state, "request_nonce": request.nonce, "verifier": request.verifier,
    }
    sealed = keeper.seal.seal(PURPOSE, kept, now=keeper.clock(), lifetime=LIFETIME)
    return {"url": url, "state": request.state, "sealed": sealed}


@dataclass(frozen=True)
class Redeemed:
    """A consent that was given: its request, what the provider answered, and whose account it is."""

    begun: Mapping[str, Any]
    at: Endpoints
    tokens: Tokens
    account: str
    label: str
    now: datetime


def connect_finish(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connect_finish`.

    1. the attempt is ours, fresh, and the same person's; 2. state and issuer are those of the request; 3. the connection, if it
    exists, is theirs, at this provider, and not taken back; 4. the code is redeemed; 5. whose account it is comes from the
    provider, and is the one connected before; one that is connected under another id is reconnected there; 6. the tokens are
    stored, by check-and-set. What was redeemed and is not stored is ended at the provider, where that ends nothing else.
    """
    connection, now = segment(body, "connection"), keeper.clock()
    begun = keeper.seal.open(PURPOSE, text(body, "sealed"), now=now)  # 1
    if begun["person"] != segment(body, "person"):
        raise Stale("another person's attempt")
    at = endpoints(keeper, begun["provider"])
    iss = text(body, "iss") if body.get("iss") is not None else None
    check_answer(at, expected_state=begun["state"], state=text(body, "state"), iss=iss)  # 2
    before = _before(keeper, connection, begun)  # 3
    tokens = redeem(  # 4
        at, upstreams(keeper).transport, code=secret(body, "code"), verifier=begun["verifier"],
        redirect_uri=begun["redirect_uri"], now=now
    )
    try:
        account, label = _identity(keeper, at, tokens, begun, now)  # 5
        target = _target(keeper, connection, before, account, begun, strings(body, "known", optional=True))
        record = _keep(keeper, target, Redeemed(begun, at, tokens, account, label, now))  # 6
    except KeeperError:
        discard(at, upstreams(keeper).transport, tokens)
        raise
    log.info("connected connection=%s provider=%s scopes=%s", target, record.provider, ",".join(record.scopes))
    return {
        "account": account, "label": label, "scopes": list(record.scopes), "renewable": record.renewable,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at and not record.renewable else None, "connection": target,
    }


def stored(keeper: Keeper, connection: str) -> tuple[Record | None, int]:
    """The record and its version; None and 0 where there is none."""
    try:
        return load(keeper, connection)
    except NotKnown:
        return None, 0


def _before(keeper: Keeper, connection: str, begun: Mapping[str, Any]) -> Record | None:
    record, _version = stored(keeper, connection)
    if record is None:
        return None
    if not _theirs(record, begun):
        raise BadRequest("another person's or provider's connection")
    if record.status == "disconnected":
        raise Stale("disconnected meanwhile", hint=GONE)
    return record


def _theirs(record: Record, begun: Mapping[str, Any]) -> bool:
    return (record.person, record.provider) == (begun["person"], begun["provider"])


def _target(
    keeper: Keeper, connection: str, before: Record | None, account: str, begun: Mapping[str, Any], known: Sequence[str]
) -> str:
    """The connection that this account belongs to: the one that was asked for, or the one of `known` that it is already."""
    if before is not None:
        if before.account != account:
            hint = said(
                "You signed in with another account than the one that was connected (%(account)s).",
                account=before.label or before.account,
            )
            raise ProviderRefused("another account", hint=hint)
        return connection
    for name in known:
        other, _version = stored(keeper, segment({"connection": name}, "connection"))
        if other is not None and _theirs(other, begun) and other.status != "disconnected" and other.account == account:
            return name
    return connection


def _keep(keeper: Keeper, connection: str, made: Redeemed) -> Record:
    """Written over what is there, whatever a renewal beside it wrote meanwhile: the new consent is the later word."""
    for _ in range(WRITES):
        before, version = stored(keeper, connection)
        if before is not None and before.status == "disconnected":
            raise Stale("disconnected meanwhile", hint=GONE)
        record = _record(made, before)
        try:
            save(keeper, connection, record, version)
        except CasConflict:
            continue
        return record
    raise Stale("the connection changed meanwhile")


def _identity(keeper: Keeper, at: Endpoints, tokens: Tokens, begun: Mapping[str, Any], now: datetime) -> tuple[str, str]:
    """The provider's own account id, and what a person recognises: from a verified ID token where there is one, and from the
    user information. Where both speak, they must mean the same subject (OpenID Connect Core section 5.3.2)."""
    ours = upstreams(keeper)
    claims: Mapping[str, Any] = {}
    if tokens.id_token is not None and "openid" in begun["scopes"] and at.issuer and at.jwks_url:
        asked = Asked(at.issuer, at.client_id, begun["request_nonce"])
        claims = verify(tokens.id_token, ours.keys, at.jwks_url, expected=asked, access=tokens.access, now=now)
    if at.userinfo_url:
        found = userinfo(at, ours.transport, tokens.access)
        if claims and found.get("sub") != claims["sub"]:
            raise ProviderRefused("userinfo sub differs", hint="The provider named two different accounts.")
        claims = {**found, **claims}
    claims = {**tokens.said, **claims}
    account = next(filter(None, (found_at(claims, path) for path in at.facts.account)), "")
    if not account:
        raise ProviderRefused("no account id", hint="The provider did not say which account this is.")
    label = next(filter(None, (found_at(claims, path) for path in at.facts.label)), account)
    return account, readable(label) or account


def readable(label: str) -> str:
    """A label as it may stand in our own sentences. Attack: a provider, or whoever names their account there, writes marks that
    turn the sentence round, breaks its line, or sends NUL, which a database may not take."""
    return " ".join("".join(char if char.isprintable() else " " for char in label).split())[:120]


def _record(made: Redeemed, before: Record | None) -> Record:
    """Where access can be renewed, the first access token is not kept: it could do everything, and every use gets its own."""
    begun, at, tokens = made.begun, made.at, made.tokens
    scopes = tokens.scopes or tuple(begun["scopes"])
    only = Live("tok_only", tokens.access, "", scopes, scopes, tokens.expires_at)
    refresh = tokens.refresh or (before.refresh if before is not None and not at.facts.rotates else None)
    record = Record(
        person=begun["person"], provider=begun["provider"], entry="oidc" if at.facts.kind == "oidc" else "oauth",
        account=made.account, label=made.label, scopes=scopes, status="active", refresh=refresh, print=fingerprint(refresh),
        live=() if refresh else (only,), renewed_at=made.now, events=(event("connected", made.now),),
    )
    if before is None:
        return record
    return replace(
        record, fence=before.fence, renewals=before.renewals, ending=replaced(at.facts, before, record), ended=before.ended,
        events=noted(before, "connected", made.now),
    )


HANDLERS = {"connect_begin": connect_begin, "connect_finish": connect_finish}
