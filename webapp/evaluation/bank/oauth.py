"""The bank's grants, codes and tokens: opaque, stored hashed, refresh tokens rotated with reuse detection.

Every function takes an open transaction. A code or refresh token that comes twice revokes its whole family
(RFC 6749 section 4.1.2, RFC 9700 section 4.14.2); that is committed although the request is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

SCOPES = {
    "accounts:read": "See your balance and account details",
    "payees:read": "See whom you have paid before",
    "payments:send": "Send payments from this account",
}
CODE_LIFETIME = 60
ACCESS_LIFETIME = 600
REFRESH_LIFETIME = 30 * 86_400


@dataclass(frozen=True)
class Client:
    """The bank's one registered client. Redirect URIs are compared whole."""

    id: str
    secret: str
    name: str
    redirect_uris: tuple[str, ...]

    def proves(self, client_id: str, secret: str) -> bool:
        same = hmac.compare_digest(client_id.encode(), self.id.encode())
        return hmac.compare_digest(secret.encode(), self.secret.encode()) and same


@dataclass(frozen=True)
class Problem:
    """An OAuth error to answer with (RFC 6749 section 5.2)."""

    error: str
    description: str


@dataclass(frozen=True)
class Tokens:
    access: str
    refresh: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Bearer:
    """Who a live access token speaks for."""

    account: str
    client: str
    scopes: tuple[str, ...]


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _new(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def grant(
    work: sqlite3.Connection, *, account: str, client: str, scopes: Sequence[str], redirect_uri: str, challenge: str, now: float
) -> str:
    """Record the customer's consent and return its authorization code, good once, for 60 seconds."""
    grant_id, code = _new("hbg"), _new("hbc")
    work.execute("INSERT INTO grants VALUES (?, ?, ?, ?, ?, NULL)", (grant_id, account, client, " ".join(scopes), int(now)))
    work.execute("INSERT INTO codes VALUES (?, ?, ?, ?, ?, NULL)",
                 (hashed(code), grant_id, redirect_uri, challenge, int(now) + CODE_LIFETIME))
    return code


def revoke_family(work: sqlite3.Connection, grant_id: str, now: float) -> None:
    work.execute("UPDATE grants SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (int(now), grant_id))


def _live(work: sqlite3.Connection, grant_id: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = work.execute("SELECT * FROM grants WHERE id = ? AND revoked_at IS NULL", (grant_id,)).fetchone()
    return found


def _issue(work: sqlite3.Connection, family: sqlite3.Row, scopes: tuple[str, ...], now: float) -> Tokens:
    tokens = Tokens(_new("hba"), _new("hbr"), scopes)
    rows = (
        (hashed(tokens.access), family["id"], "access", " ".join(scopes), int(now) + ACCESS_LIFETIME),
        (hashed(tokens.refresh), family["id"], "refresh", family["scopes"], int(now) + REFRESH_LIFETIME),
    )
    work.executemany("INSERT INTO tokens (hash, grant_id, kind, scopes, expires_at) VALUES (?, ?, ?, ?, ?)", rows)
    return tokens


def _verifies(verifier: str, challenge: str) -> bool:
    """RFC 7636 section 4.6, S256 only."""
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(made.encode(), challenge.encode())


def redeem(
    work: sqlite3.Connection, *, client: str, code: str, redirect_uri: str, verifier: str, now: float
) -> Tokens | Problem:
    row = work.execute("SELECT * FROM codes WHERE hash = ?", (hashed(code),)).fetchone()
    if row is None:
        return Problem("invalid_grant", "Unknown authorization code.")
    spent = work.execute("UPDATE codes SET used_at = ? WHERE hash = ? AND used_at IS NULL", (int(now), row["hash"]))
    if spent.rowcount != 1:
        revoke_family(work, row["grant_id"], now)
        return Problem("invalid_grant", "This code was used before; its tokens were revoked.")
    family = _live(work, row["grant_id"])
    if family is None or family["client"] != client or now >= row["expires_at"] or redirect_uri != row["redirect_uri"]:
        return Problem("invalid_grant", "The code has expired or was issued for another request.")
    if not _verifies(verifier, row["challenge"]):
        return Problem("invalid_grant", "The PKCE verifier does not match.")
    return _issue(work, family, tuple(family["scopes"].split()), now)


def refresh(
    work: sqlite3.Connection, *, client: str, token: str, scopes: tuple[str, ...] | None, now: float
) -> Tokens | Problem:
    """Rotate: a new refresh token with all the scopes of the grant, and an access token with those asked for."""
    row = work.execute("SELECT * FROM tokens WHERE hash = ? AND kind = 'refresh'", (hashed(token),)).fetchone()
    family = _live(work, row["grant_id"]) if row is not None else None
    if row is None or family is None or family["client"] != client or now >= row["expires_at"]:
        return Problem("invalid_grant", "The refresh token is unknown, expired or revoked.")
    held = tuple(family["scopes"].split())
    wanted = scopes or held
    if not set(wanted) <= set(held):
        return Problem("invalid_scope", "More was asked for than was granted.")
    spent = work.execute("UPDATE tokens SET used_at = ? WHERE hash = ? AND used_at IS NULL", (int(now), row["hash"]))
    if spent.rowcount != 1:
        revoke_family(work, family["id"], now)
        return Problem("invalid_grant", "This refresh token was used before; the connection was revoked.")
    return _issue(work, family, wanted, now)


def revoke(work: sqlite3.Connection, *, client: str, token: str, now: float) -> None:
    """RFC 7009 section 2.1: a refresh token takes its grant with it, an access token goes alone. Unknown ones are fine."""
    row = work.execute(
        "SELECT tokens.* FROM tokens JOIN grants ON grants.id = grant_id WHERE hash = ? AND client = ?", (hashed(token), client)
    ).fetchone()
    if row is None:
        return
    if row["kind"] == "refresh":
        revoke_family(work, row["grant_id"], now)
    else:
        work.execute("UPDATE tokens SET revoked_at = ? WHERE hash = ? AND revoked_at IS NULL", (int(now), row["hash"]))


def bearer(work: sqlite3.Connection, token: str, now: float) -> Bearer | None:
    row = work.execute(
        "SELECT account, client, tokens.scopes FROM tokens JOIN grants ON grants.id = grant_id WHERE hash = ? "
        "AND kind = 'access' AND tokens.revoked_at IS NULL AND grants.revoked_at IS NULL AND expires_at > ?",
        (hashed(token), now),
    ).fetchone()
    return None if row is None else Bearer(row["account"], row["client"], tuple(row["scopes"].split()))
