"""The root error of the app. Errors know a stable `code`, a public `hint` and a private `detail`; none knows HTTP.

The tables at the end say what each becomes in HTTP, in OAuth and in JSON-RPC.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from vault.errors import (
    KeeperAway,
    KeeperError,
    MayNotDecide,
    NeedsConsent,
    NoAuthority,
    NotKnown,
    NotSignedIn,
    Paused,
    ProviderAway,
    TooMany,
    VaultAway,
    VaultSealed,
)
from vault.said import Said as Said
from vault.said import carried as carried
from vault.said import heard as heard
from vault.said import nsaid as nsaid
from vault.said import one_of_ours as one_of_ours
from vault.said import psaid as psaid
from vault.said import said as said

T = TypeVar("T")


class CountersealError(Exception):
    """`hint` may be shown to anyone; `detail` goes to the log only.

    A hint is a sentence of ours, which pages show in the reader's language: `BadInput("Say why.")`, with values
    `BadInput(said("It has %(has)s characters.", has=12))`. What others wrote is a value, never the sentence."""

    default: ClassVar[str] = "error"

    def __init__(self, hint: str, *, code: str | None = None, detail: str = "") -> None:
        super().__init__(hint)
        self.hint = one_of_ours(hint)
        self.code = code or self.default
        self.detail = detail


class BadInput(CountersealError):
    default = "bad_input"


class Missing(CountersealError):
    """There is no such thing, or not for the person who asks: both look alike."""

    default = "not_found"


class Forbidden(CountersealError):
    default = "forbidden"


class Conflict(CountersealError):
    """Someone else was first: a conditional UPDATE met no row."""

    default = "conflict"


class Misdirected(CountersealError):
    """The request names another host than `public_url` (RFC 9110 section 15.5.20)."""

    default = "misdirected_request"


class LimitReached(CountersealError):
    default = "limit_reached"


class Unavailable(CountersealError):
    """Fail closed: the database is gone, the log is stalled, a policy set differs. Nothing was done and nothing lost."""

    default = "unavailable"


class LogStalled(Unavailable):
    default = "log_stalled"


HTTP: dict[type[Exception], int] = {
    BadInput: 400,
    Missing: 404,
    Forbidden: 403,
    Conflict: 409,
    Misdirected: 421,
    LimitReached: 429,
    Unavailable: 503,
    NotKnown: 404,
    NotSignedIn: 401,
    MayNotDecide: 403,
    NeedsConsent: 409,
    Paused: 409,
    TooMany: 429,
    ProviderAway: 502,
    VaultSealed: 503,
    VaultAway: 503,
    KeeperAway: 503,
    NoAuthority: 503,
    KeeperError: 400,
}

OAUTH: dict[type[Exception], str] = {
    BadInput: "invalid_request",
    Missing: "invalid_request",
    Forbidden: "access_denied",
    LimitReached: "slow_down",
    Unavailable: "temporarily_unavailable",
    VaultSealed: "temporarily_unavailable",
    VaultAway: "temporarily_unavailable",
    KeeperAway: "temporarily_unavailable",
    NoAuthority: "temporarily_unavailable",
    KeeperError: "invalid_request",
}

# JSON-RPC 2.0 section 5.1. MCP 2026-07-28 keeps -32000 to -32099 for itself, and asks that other codes lie outside
# -32768 to -32000: ours are -31000 minus the nearest HTTP status.
JSONRPC: dict[type[Exception], int] = {
    BadInput: -32602,
    Missing: -32602,
    NotSignedIn: -31401,
    Forbidden: -31403,
    MayNotDecide: -31403,
    Conflict: -31409,
    NeedsConsent: -31409,
    Paused: -31409,
    LimitReached: -31429,
    TooMany: -31429,
    ProviderAway: -31502,
    Unavailable: -31503,
    VaultSealed: -31503,
    VaultAway: -31503,
    KeeperAway: -31503,
    NoAuthority: -31503,
    KeeperError: -32603,
}


def look_up(table: dict[type[Exception], T], error: Exception, otherwise: T) -> T:
    """The table's value for the nearest class of the error."""
    return next((table[cls] for cls in type(error).__mro__ if cls in table), otherwise)
