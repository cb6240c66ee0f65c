"""The OAuth client side, for accounts and for SSO: authorization request, code, refresh, revocation, user information.

Pure protocol over `vault.transport`; stores nothing. RFC 6749, 7009, 7636, 9207, OpenID Connect Core and Discovery. What a
provider does otherwise is in its catalogue entry (`Quirks`).
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from vault.answers import WORDS, Tokens, parse_tokens
from vault.errors import BadRequest, NeedsConsent, ProviderAway, ProviderRefused, Stale
from vault.providers.catalogue import UNREADABLE, ProviderFacts
from vault.said import said
from vault.secret import Secret
from vault.transport import DEADLINE, AnswerLost, Reply, Transport, document, read_document
from vault.upstream_auth import authenticate, revocation_request, showing

log = logging.getLogger("counterseal.keeper")

UNKNOWN_CLIENT = frozenset({"invalid_client", "incorrect_client_credentials", "bad_client_secret"})
SHOW_NO_CLIENT = ("slack", "bearer")
"""Ways to take a token back in which the token alone is shown."""
WELL_KNOWN = "/.well-known/openid-configuration"
DISCOVERY_KEPT = 3600.0
PICK = "select_account"
ADDRESSES = ("issuer", "authorize_url", "token_url", "refresh_url", "revoke_url", "userinfo_url", "jwks_url")


@dataclass(frozen=True)
class Endpoints:
    """A provider as this keeper knows it: the catalogue's facts, the stored client, discovery's endpoints."""

    facts: ProviderFacts
    client_id: str
    client_secret: Secret[str]
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    userinfo_url: str = ""
    jwks_url: str = ""
    refresh_url: str = ""
    iss_advertised: bool = False
    auth: str = "basic"
    picker: bool = False
    secrets_before: tuple[Secret[str], ...] = ()
    """Tried where the provider does not know the client by `client_secret`: the overlap of a new one."""


@dataclass(frozen=True)
class Request:
    """The secrets of one authorization request; they stay sealed on the server."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))


class Discovery:
    """OpenID Connect metadata by issuer, kept for an hour."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def find(self, transport: Transport, issuer: str) -> Mapping[str, Any]:
        """Raises ProviderRefused unless the document names exactly the issuer it was fetched for (Discovery 1.0 section 4.3)."""
        kept = self._kept.get(issuer)
        if kept is not None and time.monotonic() - kept[0] < DISCOVERY_KEPT:
            return kept[1]
        found = document(transport, issuer.rstrip("/") + WELL_KNOWN)
        if found.get("issuer") != issuer:
            raise ProviderRefused(
                f"metadata of {issuer} names {found.get('issuer')!r}", hint="The provider's metadata names another issuer."
            )
        if len(self._kept) > 256:
            self._kept.clear()
        self._kept[issuer] = (time.monotonic(), found)
        return found


def resolve(
    facts: ProviderFacts, record: Mapping[str, Any], transport: Transport, discovery: Discovery,
    before: Sequence[Secret[str]] = (),
) -> Endpoints:
    """The record's endpoints over the catalogue's, the missing ones from discovery. `before`: client secrets whose overlap lasts.
    Raises ProviderAway, ProviderRefused."""
    def named(key: str) -> str:
        return str(record.get(key) or getattr(facts, key))

    known = Endpoints(
        facts=facts, client_id=str(record.get("client_id") or ""), client_secret=Secret(str(record.get("client_secret") or "")),
        iss_advertised=facts.iss or bool(record.get("iss")), picker=facts.picker, secrets_before=tuple(before),
        auth=str(record.get("client_auth") or facts.client_auth), **{key: named(key) for key in ADDRESSES},
    )
    if any("{" in getattr(known, key) for key in ADDRESSES):
        needed = ", ".join(f"{key} ({one.words})" for key, one in facts.needs.items())
        hint = said("An operator has to say %(what)s first.", what=needed)
        raise ProviderRefused(f"{facts.name}: placeholders", hint=hint)
    if known.issuer and (facts.discovery or record.get("discovery")):
        known = _discovered(known, discovery.find(transport, known.issuer))
    for url in (known.authorize_url, known.token_url) if facts.kind != "key" else ():
        transport.check(url)
    return known


def _discovered(known: Endpoints, found: Mapping[str, Any]) -> Endpoints:
    def named(ours: str, theirs: str) -> str:
        return ours or str(found.get(theirs) or "")

    methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return replace(
        known, authorize_url=named(known.authorize_url, "authorization_endpoint"),
        token_url=named(known.token_url, "token_endpoint"),
        revoke_url=named(known.revoke_url, "revocation_endpoint"), userinfo_url=named(known.userinfo_url, "userinfo_endpoint"),
        jwks_url=named(known.jwks_url, "jwks_uri"), auth="basic" if "client_secret_basic" in methods else "post",
        iss_advertised=known.iss_advertised or found.get("authorization_response_iss_parameter_supported") is True,
        picker=known.picker or PICK in _listed(found.get("prompt_values_supported")),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def pick(at: Endpoints) -> dict[str, str]:
    """The parameters that make the provider ask which account, where it is known to understand them; its own prompts stay."""
    if not at.picker:
        return {}
    prompts = [one for one in at.facts.authorize_params.get("prompt", "").split() if one != PICK]
    return {"prompt": " ".join([*prompts, PICK])}


def challenged(at: Endpoints) -> bool:
    """Whether the code is bound to the request by PKCE at the provider too. An app without a secret has nothing else there: some
    providers take PKCE from those alone, and refuse the code of one that shows both a secret and a verifier."""
    return at.facts.pkce is True or (at.facts.pkce == "public" and not at.client_secret)


def authorization_url(at: Endpoints, request: Request, *, redirect_uri: str, scopes: Sequence[str], **extra: str) -> str:
    """Where to send the browser. PKCE S256 (RFC 7636 section 4.2) always, but where a provider is known to refuse it: others that
    do not know it ignore it (RFC 6749 section 3.1)."""
    if not at.authorize_url:
        raise BadRequest(f"{at.facts.name} has no consent", hint="This service has no sign-in: paste its key instead.")
    more = {**at.facts.authorize_params, **{key: value for key, value in extra.items() if value}}
    if "openid" in scopes:
        more["nonce"] = request.nonce
    if at.facts.quirks.scope_parameter:
        more[at.facts.quirks.scope_parameter] = at.facts.scope_separator.join(scopes)
    if challenged(at):
        more |= {"code_challenge": create_s256_code_challenge(request.verifier), "code_challenge_method": "S256"}
    return str(prepare_grant_uri(
        at.authorize_url, client_id=at.client_id, response_type="code", redirect_uri=redirect_uri, state=request.state, **more,
    ))


def check_answer(at: Endpoints, *, expected_state: str, state: str, iss: str | None) -> None:
    """1. the state is the one we sent; 2. the answer comes from the issuer we asked, where it says so or should.

    RFC 9207 section 2.4: a client that talks to several servers refuses an answer that names another issuer (mix-up)."""
    if not hmac.compare_digest(expected_state.encode(), state.encode()):
        raise Stale("state differs")
    if iss is None and at.iss_advertised:
        raise ProviderRefused("no iss", hint="The answer did not say which provider it came from, although this one always does.")
    if iss is not None and at.issuer and iss != at.issuer:
        raise ProviderRefused(f"iss {iss[:200]!r}", hint="The answer came from another provider than the one that was asked.")


def redeem(
    at: Endpoints, transport: Transport, *, code: Secret[str], verifier: str, redirect_uri: str, now: datetime
) -> Tokens:
    """Exchange the code. Raises ProviderRefused, ProviderAway. A lost answer only costs the code: the person starts again."""
    fields = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri}
    if challenged(at):
        fields["code_verifier"] = verifier
    try:
        return parse_tokens(_post(at, transport, at.token_url, {**fields, **at.facts.quirks.token_params}), now, at.facts)
    except AnswerLost as error:
        raise ProviderAway(str(error)) from error
    except NeedsConsent as error:
        raise ProviderRefused(error.detail, hint=WORDS["invalid_grant"]) from error


def refresh(at: Endpoints, transport: Transport, *, token: Secret[str], scopes: Sequence[str], now: datetime) -> Tokens:
    """Renew. Raises NeedsConsent (the grant is over for good), ProviderRefused, ProviderAway (nothing happened there),
    AnswerLost (unknown what happened)."""
    fields = {"grant_type": "refresh_token", "refresh_token": token.reveal()}
    if at.facts.narrows:
        fields["scope"] = at.facts.scope_separator.join(scope for scope in scopes if scope != UNREADABLE)
    url = at.refresh_url or at.token_url
    return parse_tokens(_post(at, transport, url, {**fields, **at.facts.quirks.refresh_params}), now, at.facts)


def _post(at: Endpoints, transport: Transport, url: str, fields: Mapping[str, str]) -> Reply:
    quirks = at.facts.quirks

    def send(shown: Endpoints) -> Reply:
        body, headers = authenticate(at.client_id, shown.client_secret, at.auth, fields, quirks.request_body)
        return transport.send("POST", url, body=body, headers={**headers, **quirks.headers})

    return as_known(at, send)


def as_known(at: Endpoints, send: Callable[[Endpoints], Reply]) -> Reply:
    """By the client secret, and where the provider does not know it, by those before it while they overlap. A request whose
    client is not known was not looked at (RFC 6749 section 5.2), so nothing is spent. After as long as one may take, no other is
    begun: a claim outlives that."""
    end, reply = time.monotonic() + DEADLINE, send(at)
    for number, value in enumerate(at.secrets_before):
        if not unknown_client(reply) or time.monotonic() > end:
            break
        reply = send(replace(at, client_secret=value))
        if number == 0 or not unknown_client(reply):
            log.warning("%s does not know the newest client secret; one before it was tried", at.facts.name)
    return reply


def unknown_client(reply: Reply) -> bool:
    """RFC 6749 section 5.2: `invalid_client`, with 400 or 401; GitHub and Slack say it in words of their own, with 200."""
    found = reply.json()
    return (found.get("error") if isinstance(found, Mapping) else None) in UNKNOWN_CLIENT or (
        reply.status == 401 and not (isinstance(found, Mapping) and found.get("error"))
    )


def revoke(at: Endpoints, transport: Transport, *, token: Secret[str], hint: str, account: str = "") -> str:
    """`confirmed`, `unsupported` or `pending`. RFC 7009 section 2.2: 200 also for a token that was dead already."""
    if at.facts.revoke_style == "none" or not at.revoke_url:
        return "unsupported"
    def send(shown: Endpoints) -> Reply:
        method, url, body, headers = revocation_request(shown, token, hint, account)
        return transport.send(method, url, body=body, headers=headers)

    try:
        reply = as_known(at, send) if at.facts.revoke_style not in SHOW_NO_CLIENT else send(at)
    except (AnswerLost, ProviderAway):
        return "pending"
    if reply.status in (200, 204) or (reply.status in (404, 422) and at.facts.revoke_style == "github"):
        return _confirmed(at, reply)
    error = str((reply.json() or {}).get("error", ""))
    return "unsupported" if error == "unsupported_token_type" else "pending"


def _confirmed(at: Endpoints, reply: Reply) -> str:
    """Slack answers 200 with `ok: false`; a token it no longer knows is as good as revoked."""
    found = reply.json() or {}
    if at.facts.revoke_style != "slack" or found.get("ok") is True:
        return "confirmed"
    return "confirmed" if found.get("error") in ("token_revoked", "invalid_auth", "token_expired") else "pending"


def userinfo(at: Endpoints, transport: Transport, access: Secret[str]) -> Mapping[str, Any]:
    """Who the account is. Raises ProviderAway, ProviderRefused."""
    quirks, headers = at.facts.quirks, showing(at, access)
    if quirks.userinfo_method == "POST" and quirks.userinfo_body:
        headers["Content-Type"] = "application/json"
    reply = transport.get(
        at.userinfo_url, headers, method=quirks.userinfo_method,
        body=quirks.userinfo_body if quirks.userinfo_method == "POST" else None,
    )
    found = read_document(reply, at.userinfo_url)
    if found.get("ok") is False:
        raise ProviderRefused(str(found.get("error"))[:64], hint="The provider would not say which account this is.")
    return found
