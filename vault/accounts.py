"""Connecting a person's account at a provider, looking at it, taking it back. The tokens stay in the vault."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from vault.errors import BadRequest, NotKnown, ProviderRefused, Stale
from vault.id_token import Asked, verify
from vault.kv import CasConflict
from vault.record import Live, Record, fingerprint
from vault.renewal import load, rescue, save
from vault.secret import Secret
from vault.table import Body, Keeper, mapping, secret, segment, strings, text
from vault.upstream import Endpoints, Request, Tokens, authorization_url, check_answer, redeem, revoke, userinfo
from vault.upstreams import checked_record, endpoints, upstreams

log = logging.getLogger("counterseal.keeper.accounts")

PURPOSE = "connect"
LIFETIME = 900


def provider_put(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.provider_put`."""
    name, path = segment(body, "name"), f"providers/{segment(body, 'name')}"
    record = checked_record(keeper, name, mapping(body, "record"))
    keeper.kv.update(path, lambda _before: (record, None))
    log.info("provider %s was stored", name)
    return {}


def providers(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    return {"providers": sorted(keeper.kv.list("providers"))}


def connect_begin(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connect_begin`. The provider's own base scopes (`openid`, offline access) are added."""
    provider, person = segment(body, "provider"), segment(body, "person")
    at = endpoints(keeper, provider)
    scopes = tuple(dict.fromkeys((*at.facts.base_scopes, *strings(body, "scopes"))))
    request, redirect_uri = Request(), text(body, "redirect_uri")
    url = authorization_url(at, request, redirect_uri=redirect_uri, scopes=scopes)
    kept = {
        "provider": provider, "person": person, "scopes": list(scopes), "redirect_uri": redirect_uri,
        "state": request.state, "request_nonce": request.nonce, "verifier": request.verifier,
    }
    sealed = keeper.seal.seal(PURPOSE, kept, now=keeper.clock(), lifetime=LIFETIME)
    return {"url": url, "state": request.state, "sealed": sealed}


def connect_finish(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connect_finish`.

    1. the attempt is ours, fresh, and the same person's; 2. state and issuer are those of the request; 3. the connection, if it
    exists, is theirs, at this provider, and not taken back; 4. the code is redeemed; 5. whose account it is comes from the
    provider,
    and is the one connected before; 6. the tokens are stored, by check-and-set.
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
    account, label = _identity(keeper, at, tokens, begun, now)  # 5
    if before is not None and before[0].account != account:
        hint = f"You signed in with another account than the one that was connected ({before[0].label or before[0].account})."
        raise ProviderRefused("another account", hint=hint)
    record = _record(begun, at, tokens, account, label, now, before[0] if before else None)
    try:
        save(keeper, connection, record, before[1] if before else 0)  # 6
    except CasConflict as error:
        raise Stale("the connection changed meanwhile") from error
    log.info("connected connection=%s provider=%s scopes=%s", connection, record.provider, ",".join(record.scopes))
    return {
        "account": account, "label": label, "scopes": list(record.scopes), "renewable": record.renewable,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at and not record.renewable else None,
    }


def _before(keeper: Keeper, connection: str, begun: Mapping[str, Any]) -> tuple[Record, int] | None:
    try:
        record, version = load(keeper, connection)
    except NotKnown:
        return None
    if record.person != begun["person"] or record.provider != begun["provider"]:
        raise BadRequest("another person's or provider's connection")
    if record.status == "disconnected":
        raise Stale("disconnected meanwhile", hint="This account was disconnected meanwhile. Connect it anew.")
    return record, version


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
    account = next((str(claims[key]) for key in at.facts.account if _said(claims.get(key))), "")
    if not account or len(account) > 255:
        raise ProviderRefused("no account id", hint="The provider did not say which account this is.")
    label = next((str(claims[key]) for key in at.facts.label if _said(claims.get(key))), account)
    return account, label[:120]


def _said(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value) != ""


def _record(
    begun: Mapping[str, Any], at: Endpoints, tokens: Tokens, account: str, label: str, now: datetime, before: Record | None
) -> Record:
    """Where access can be renewed, the first access token is not kept: it could do everything, and every use gets its own."""
    scopes = tokens.scopes or tuple(begun["scopes"])
    only = Live("tok_only", tokens.access, "", scopes, scopes, tokens.expires_at)
    refresh = tokens.refresh or (before.refresh if before is not None and not at.facts.rotates else None)
    return Record(
        person=begun["person"], provider=begun["provider"], entry="oidc" if at.facts.kind == "oidc" else "oauth", account=account,
        label=label,
        scopes=scopes, status="active", refresh=refresh, print=fingerprint(refresh), live=() if refresh else (only,),
        fence=before.fence if before else 0, renewals=before.renewals if before else 0, renewed_at=now,
    )


def connection(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connection`: no token."""
    record, _version = load(keeper, segment(body, "connection"))
    ends = [live.expires_at for live in record.live if live.expires_at is not None]
    return {
        "status": record.status, "account": record.account, "label": record.label, "scopes": list(record.scopes),
        "renewed_at": record.renewed_at.isoformat() if record.renewed_at else None, "renewals": record.renewals,
        "expires_at": max(ends).isoformat() if ends else None,
    }


def disconnect(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.disconnect`. Safe to repeat; the tokens are kept until the provider has been told (`revoke`)."""
    name, person = segment(body, "connection"), segment(body, "person")
    while True:
        record, version = load(keeper, name)
        if record.person != person:
            raise NotKnown("another person's connection")
        if record.status == "disconnected":
            return {}
        try:
            save(keeper, name, replace(record, status="disconnected", revocation="pending"), version)
        except CasConflict:
            continue
        log.info("disconnected connection=%s", name)
        return {}


def revoke_connection(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.revoke`. While a refresh is under way the answer is `pending`: its new tokens have to be ended as well."""
    name = segment(body, "connection")
    rescue(keeper, name)
    record, version = load(keeper, name)
    if record.status != "disconnected":
        raise BadRequest("disconnect it first")
    if record.revocation in ("confirmed", "unsupported"):
        return {"outcome": record.revocation, "detail": ""}
    if record.claim is not None and record.claim.until > keeper.clock():
        return {"outcome": "pending", "detail": "a renewal has not ended"}
    outcome = _end_all(keeper, record)
    if outcome != "pending":
        _shred(keeper, name, record, version, outcome)
    return {"outcome": outcome, "detail": ""}


def _end_all(keeper: Keeper, record: Record) -> str:
    """RFC 7009 section 2.1: ending the refresh token should end the access tokens too; where one can be ended alone, it is."""
    try:
        at = endpoints(keeper, record.provider)
    except NotKnown:
        return "unsupported"
    live: list[Secret[str]] = [one.token for one in record.live]
    whole = record.refresh if at.facts.revoke_style == "rfc7009" and record.refresh is not None else (live[0] if live else None)
    if at.facts.revoke_style == "none" or not at.revoke_url or (whole is None and at.facts.revoke_style != "rfc7009"):
        return "unsupported"
    transport = upstreams(keeper).transport
    told = [
        revoke(
            at, transport, token=token, hint="access_token"
        ) for token in live if at.facts.revoke_effect == "token" and token is not whole
    ]
    if whole is not None:
        told.append(revoke(at, transport, token=whole, hint="refresh_token"))
    return "pending" if "pending" in told else (
        "unsupported" if "unsupported" in told and "confirmed" not in told else "confirmed"
    )


def _shred(keeper: Keeper, name: str, record: Record, version: int, outcome: str) -> None:
    """Every version of the record goes, and a stone without tokens stands in its place. If something changed it meanwhile, the
    next call looks again."""
    stone = replace(record, refresh=None, live=(), claim=None, revocation=outcome)
    try:
        save(keeper, name, stone, version)
    except CasConflict:
        return
    keeper.kv.delete_all(f"connections/{name}")
    keeper.kv.create(f"connections/{name}", stone.to_json())


HANDLERS = {
    "provider_put": provider_put, "providers": providers, "connect_begin": connect_begin, "connect_finish": connect_finish,
    "connection": connection, "disconnect": disconnect, "revoke": revoke_connection,
}
