"""The last word to a provider about a disconnected account: everything that was granted ends there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from vault.answers import Tokens
from vault.ending import by_itself, tell
from vault.errors import NeedsConsent, NotKnown, ProviderAway, ProviderRefused
from vault.kv import CasConflict
from vault.providers.catalogue import ProviderFacts
from vault.record import Live, Record, fingerprint
from vault.renewal import save
from vault.secret import Secret
from vault.table import Keeper
from vault.transport import AnswerLost
from vault.upstream import Endpoints, refresh, revoke
from vault.upstreams import endpoints, upstreams

SHOWS_ACCESS = ("github", "slack", "bearer")
"""Styles of revocation for which an access token has to be shown, and a refresh token does not do."""


def end_all(keeper: Keeper, name: str, record: Record, version: int) -> tuple[str, int, str]:
    """`confirmed`, `unsupported` or `pending`, the record's version, which changes where a token had to be fetched first, and
    what is said with `pending` (`vault.ending.by_itself`)."""
    try:
        at = endpoints(keeper, record.provider)
    except NotKnown:
        return "unsupported", version, ""
    if at.facts.revoke_style == "none" or not at.revoke_url:
        return "unsupported", version, ""
    if _lacks_access(keeper, at, record):
        try:
            record, version = _fetched(keeper, at, name, record, version)
        except NeedsConsent:
            return "confirmed", version, ""  # the provider says that the grant is over
        except (AnswerLost, ProviderAway, ProviderRefused, CasConflict):
            return "pending", version, ""
    told = _told(keeper, at, record)
    left = [until for outcome, until in told if outcome == "pending"]
    return _said([outcome for outcome, _until in told]), version, by_itself(left, keeper.clock())


def _lacks_access(keeper: Keeper, at: Endpoints, record: Record) -> bool:
    now = keeper.clock()
    return _shows_access(at.facts) and record.renewable and not any(live.alive(now) for live in record.live)


def _shows_access(facts: ProviderFacts) -> bool:
    return facts.revoke_style in SHOWS_ACCESS or facts.quirks.revoke_shows == "access"


def last(facts: ProviderFacts, record: Record) -> tuple[Secret[str] | None, str]:
    """The token with which everything ends, and the hint of RFC 7009 section 2.1 (at GitHub `refresh_token` means all). Pure."""
    by_refresh = not _shows_access(facts) and record.refresh is not None
    token = record.refresh if by_refresh else (record.live[-1].token if record.live else None)
    return token, "access_token" if facts.quirks.revoke_shows == "access" else "refresh_token"


def _fetched(keeper: Keeper, at: Endpoints, name: str, record: Record, version: int) -> tuple[Record, int]:
    """The record with an access token to show. Written before it is used: the refresh token may have been traded in for it."""
    if record.refresh is None:
        return record, version
    tokens: Tokens = refresh(
        at, upstreams(keeper).transport, token=record.refresh, scopes=record.scopes, now=keeper.clock()
    )
    token = tokens.refresh or record.refresh
    live = Live("tok_last", tokens.access, "", record.scopes, record.scopes, tokens.expires_at)
    changed = replace(record, refresh=token, print=fingerprint(token), live=(live,))
    return changed, save(keeper, name, changed, version)


def _told(keeper: Keeper, at: Endpoints, record: Record) -> list[tuple[str, datetime | None]]:
    """Of each token what the provider answered, and when the token ends by itself, where that is known. RFC 7009 section 2.1:
    ending the refresh token should end the access tokens too; where one can be ended alone, it is."""
    whole, hint = last(at.facts, record)
    transport = upstreams(keeper).transport
    ending = tell(keeper, record)
    told = [(ending[one.ref], one.expires_at) for one in record.ending]
    if at.facts.revoke_effect == "token":
        alone = [one for one in record.live if one.token is not whole]
        told += [(revoke(at, transport, token=one.token, hint="access_token"), one.expires_at) for one in alone]
    if whole is not None:
        until = next((one.expires_at for one in record.live if one.token is whole), None)
        told.append((revoke(at, transport, token=whole, hint=hint, account=record.account), until))
    elif at.facts.revoke_style != "rfc7009":
        told.append(("unsupported", None))
    return told


def _said(told: Sequence[str]) -> str:
    if "pending" in told:
        return "pending"
    return "confirmed" if "confirmed" in told else ("unsupported" if told else "confirmed")
