"""What a token endpoint answered: RFC 6749 section 5, and the shapes that providers really send.

Everything here is a stranger's text until it was checked: bounded, and never shown to a person.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from vault.errors import NeedsConsent, ProviderAway, ProviderRefused
from vault.providers.catalogue import UNREADABLE, ProviderFacts, Quirks
from vault.said import said
from vault.secret import Secret
from vault.transport import AnswerLost, Reply

MAX_LIFETIME = 400 * 86400
TOKEN_LENGTH = 16_384
FORM = "application/x-www-form-urlencoded"
SAID_LENGTH = 255
SCOPES_KEPT = 150
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
"""RFC 6749 section 3.3, and no longer than anybody's scope is."""

WORDS = {
    "access_denied": "You, or the provider, did not agree to it.",
    "consent_required": "The provider asks for your consent again.",
    "interaction_required": "The provider needs you to sign in there.",
    "login_required": "The provider needs you to sign in there.",
    "invalid_scope": "The provider does not offer what was asked for.",
    "invalid_client": "The provider does not accept this installation's client id or secret. An operator has to correct it.",
    "unauthorized_client": "The provider does not allow this installation to do that. An operator has to correct it.",
    "invalid_grant": "The provider did not accept the code. It is too old, or was used already. Start again.",
    "invalid_request": "The provider did not understand the request. An operator has to look at the provider's settings.",
    "server_error": "The provider had an error of its own. Try again later.",
    "temporarily_unavailable": "The provider is too busy at the moment. Try again later.",
}
# Not of RFC 6749, but what providers answer for a grant that is over: Slack, GitHub, Slack.
TERMINAL = frozenset({"invalid_grant", "invalid_refresh_token", "bad_refresh_token", "token_revoked", "account_inactive"})


@dataclass(frozen=True)
class Tokens:
    """What a token endpoint answered. `scopes` is None where it did not say: then they are those asked for (RFC 6749 5.1). `said`
    is what the answer tells of the account, by the catalogue's own paths, and no token."""

    access: Secret[str]
    refresh: Secret[str] | None
    id_token: Secret[str] | None
    expires_at: datetime | None
    scopes: tuple[str, ...] | None
    refresh_expires_at: datetime | None = None
    said: Mapping[str, str] = field(default_factory=dict)


def parse_tokens(reply: Reply, now: datetime, facts: ProviderFacts | None = None) -> Tokens:
    """RFC 6749 section 5. GitHub and Slack answer errors with 200, so an `error` counts whatever the status. Raises NeedsConsent,
    ProviderRefused, ProviderAway, AnswerLost."""
    quirks = facts.quirks if facts is not None else Quirks()
    found = _object(reply)
    if reply.status >= 500 or reply.status in (408, 429):
        raise ProviderAway(f"token endpoint answered {reply.status}")
    if found is not None:
        _refused(found, reply.status, quirks)
    if 300 <= reply.status < 500:
        hint = said("The provider refused (HTTP %(status)s).", status=reply.status)
        raise ProviderRefused(f"token endpoint answered {reply.status}", hint=hint)
    given = _given(found, quirks)
    access = given.get("access_token")
    if reply.status not in (200, 201) or found is None or not isinstance(access, str) or not 0 < len(access) <= TOKEN_LENGTH:
        raise AnswerLost(f"not a token response (HTTP {reply.status})")
    if str(given.get("token_type") or quirks.token_types[0]).lower() not in quirks.token_types:
        raise ProviderRefused(
            f"token type {given.get('token_type')!r}", hint="The provider answered a kind of token that cannot be used."
        )
    refresh = _secret(given, "refresh_token")
    return Tokens(
        access=Secret(access), refresh=refresh, id_token=_secret(found, "id_token"),
        expires_at=_ends(given.get("expires_in"), now) or _documented(facts, refresh, given, now),
        scopes=_granted(given, facts), refresh_expires_at=_ends(given.get("refresh_token_expires_in"), now),
        said=_told(found, facts),
    )


def _told(found: Mapping[str, Any], facts: ProviderFacts | None) -> dict[str, str]:
    paths = (*facts.account, *facts.label) if facts is not None else ()
    return {path: value for path in paths if (value := found_at(found, path))}


def _object(reply: Reply) -> Mapping[str, Any] | None:
    """The answer's object. GitHub answers form-encoded to whoever does not ask for JSON, and some copies of it always do."""
    found = reply.json()
    kind = next((value for key, value in reply.headers.items() if key.lower() == "content-type"), "")
    if found is not None or not kind.lower().startswith(FORM):
        return found
    try:
        return dict(parse_qsl(reply.body.decode("ascii"), max_num_fields=40))
    except ValueError:
        return None


def _given(found: Mapping[str, Any] | None, quirks: Quirks) -> Mapping[str, Any]:
    """The object that holds the tokens. Slack: a person's token stands under `authed_user`, and at the top after a refresh; the
    one at the top beside it is the bot's, which its `token_type` says."""
    if found is None:
        return {}
    inner = found.get(quirks.token_in) if quirks.token_in else None
    return inner if isinstance(inner, Mapping) and inner.get("access_token") else found


def _refused(found: Mapping[str, Any], status: int, quirks: Quirks) -> None:
    error = found.get("error")
    named = [error] if not isinstance(error, Mapping) else [error.get("code"), error.get("type")]
    if status >= 400:
        named += [found.get("status"), found.get("code")]
    if any(isinstance(one, str) and one in quirks.over for one in named):
        raise NeedsConsent(f"{named!r}"[:200])
    if error or found.get("ok") is False:
        refuse(str(next((one for one in named if one), "unknown")), str(found.get("error_description") or ""))


def refuse(error: str, description: str) -> None:
    """Raise what an OAuth error code means. The provider's own description goes to the log only: a stranger wrote it."""
    detail = f"{error[:64]!r}: {description[:200]!r}"
    if error in TERMINAL:
        raise NeedsConsent(detail)
    if error in ("temporarily_unavailable", "server_error", "ratelimited", "slow_down"):
        raise ProviderAway(detail)
    raise ProviderRefused(detail, hint=WORDS.get(error, "The provider refused, and gave a reason that is not known here."))


def _secret(found: Mapping[str, Any], key: str) -> Secret[str] | None:
    value = found.get(key)
    return Secret(value) if isinstance(value, str) and 0 < len(value) <= TOKEN_LENGTH else None


def _ends(seconds: Any, now: datetime) -> datetime | None:
    try:
        count = int(seconds)
    except (TypeError, ValueError):
        return None
    return now + timedelta(seconds=min(count, MAX_LIFETIME)) if count > 0 else None


def _documented(
    facts: ProviderFacts | None, refresh: Secret[str] | None, given: Mapping[str, Any], now: datetime
) -> datetime | None:
    """RFC 6749 section 5.1: where `expires_in` is missing, the documented lifetime counts, or the one that is assumed. A token
    that cannot be renewed and names no end has none."""
    if facts is None or facts.renewed_after is None or refresh is None or given.get("expires_in") is not None:
        return None
    return now + timedelta(seconds=facts.renewed_after)


def _granted(given: Mapping[str, Any], facts: ProviderFacts | None) -> tuple[str, ...] | None:
    """Where no scope can be asked for, what the answer calls one says nothing: the entry's one scope is all that can be done."""
    quirks = facts.quirks if facts is not None else Quirks()
    found = _scopes(given.get(quirks.scope_in)) if quirks.scope_parameter else None
    if found is None:
        return None
    named = tuple(dict.fromkeys(quirks.scope_aliases.get(one, one) for one in found))
    return bounded(named, facts.scopes if facts is not None else ())


def bounded(found: Sequence[str], described: Container[str]) -> tuple[str, ...]:
    """Granted scopes as they are kept: at most `SCOPES_KEPT`, those first that somebody described, each of a scope's characters
    and length. What is left out is not forgotten: `UNREADABLE` stands for it, which is as grave as can be."""
    usable = [one for one in found if SCOPE.fullmatch(one) and one != UNREADABLE]
    if len(usable) == len(found) <= SCOPES_KEPT:
        return tuple(found)
    known = [one for one in usable if one in described]
    return (*known, *(one for one in usable if one not in described))[: SCOPES_KEPT - 1] + (UNREADABLE,)


def _scopes(found: Any) -> tuple[str, ...] | None:
    """A text separated by spaces or commas, or a list."""
    text = " ".join(one for one in found if isinstance(one, str)) if isinstance(found, list) else found
    return tuple(dict.fromkeys(text.replace(",", " ").split())) if isinstance(text, str) and text.strip() else None


def found_at(found: Mapping[str, Any], path: str) -> str:
    """The text or number at a path of the catalogue (`a.b` reaches inside, `a+b` joins both), or nothing."""
    parts = [_at(found, one) for one in ([path] if path in found else path.split("+"))]
    whole = "/".join(parts)
    return whole if all(parts) and len(whole) <= SAID_LENGTH else ""


def _at(found: Any, path: str) -> str:
    if isinstance(found, Mapping) and path in found:
        value = found[path]
    else:
        value = found
        for step in path.split("."):
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return ""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
