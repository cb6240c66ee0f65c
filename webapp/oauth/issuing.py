"""Codes and tokens: written, spent once, and what happens when one comes a second time.

Spending is a conditional UPDATE, in the transaction that writes what is given for it: two requests with one code or one
refresh token cannot both get tokens. The one that comes second proves that somebody else has it, so the whole grant ends, in a
transaction of its own: no error that follows may roll that back (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from vault.secret import Secret
from webapp import audit
from webapp.clients.tables import Client
from webapp.config import OAuth
from webapp.db.count import changed
from webapp.oauth import grants, tokens
from webapp.oauth.tables import AccessToken, AuthorizationCode, Grant, RefreshToken

Spendable = type[AuthorizationCode] | type[RefreshToken]


class SpentAlready(Exception):
    """Someone was first with this code or refresh token."""


class NotLive(Exception):
    """The grant was revoked, or its client paused or revoked."""


@dataclass(frozen=True)
class Held:
    """What is known of a code or refresh token that was presented."""

    hash: bytes
    grant: str
    client: str
    resource: str
    scopes: tuple[str, ...]
    expires_at: datetime
    spent: bool
    redirect_uri: str = ""
    code_challenge: str = ""
    code_challenge_method: str = "S256"


@dataclass(frozen=True)
class Issued:
    access: Secret[str]
    refresh: Secret[str]
    expires_in: int
    scopes: tuple[str, ...]


def write_code(session: Session, grant: str, *, redirect_uri: str, challenge: str, limits: OAuth, now: datetime) -> Secret[str]:
    raw = tokens.new(tokens.CODE)
    session.add(AuthorizationCode(
        hash=tokens.digest(raw), grant=grant, redirect_uri=redirect_uri, challenge=challenge, created_at=now,
        expires_at=now + timedelta(seconds=limits.code_lifetime),
    ))
    session.flush()
    return Secret(raw)


def find_code(session: Session, raw: str) -> Held | None:
    code = session.get(AuthorizationCode, tokens.digest(raw)) if tokens.shaped(raw, tokens.CODE) else None
    if code is None:
        return None
    return replace(_held(session, code), redirect_uri=code.redirect_uri, code_challenge=code.challenge)


def find_refresh(session: Session, raw: str) -> Held | None:
    token = session.get(RefreshToken, tokens.digest(raw)) if tokens.shaped(raw, tokens.REFRESH) else None
    return None if token is None else _held(session, token)


def _held(session: Session, row: AuthorizationCode | RefreshToken) -> Held:
    grant = session.get_one(Grant, row.grant)
    return Held(row.hash, grant.id, grant.client, grant.resource, tuple(grant.scopes), row.expires_at, row.spent_at is not None)


def exchange(
    session: Session, held: Held, table: Spendable, *, limits: OAuth, now: datetime, confirmation: str = ""
) -> Issued:
    """Spend `held` and give a new pair of tokens for it, the access token bound to the certificate `confirmation`.
    Raises SpentAlready or NotLive; nothing is written then."""
    spent = session.execute(update(table).where(table.hash == held.hash, table.spent_at.is_(None)).values(spent_at=now))
    if changed(spent) != 1:
        raise SpentAlready
    if not grants.live(session, held.grant, now):
        raise NotLive
    issued = _give(session, held, limits, now, confirmation)
    kind = "oauth.issued" if table is AuthorizationCode else "oauth.refreshed"
    audit.append(session, kind=kind, actor=f"client:{held.client}", subject=held.grant, at=now,
                 detail={"resource": held.resource, "expires_in": issued.expires_in, "bound_to": confirmation})
    return issued


def _give(session: Session, held: Held, limits: OAuth, now: datetime, confirmation: str) -> Issued:
    access, refresh = tokens.new(tokens.ACCESS), tokens.new(tokens.REFRESH)
    until = now + timedelta(seconds=limits.access_lifetime), now + timedelta(seconds=limits.refresh_lifetime)
    session.add(AccessToken(
        hash=tokens.digest(access), grant=held.grant, created_at=now, expires_at=until[0], confirmation=confirmation,
    ))
    session.add(RefreshToken(hash=tokens.digest(refresh), grant=held.grant, created_at=now, expires_at=until[1]))
    grants.used(session, held.grant, now)
    return Issued(Secret(access), Secret(refresh), limits.access_lifetime, held.scopes)


def reused(session: Session, held: Held, what: str, now: datetime) -> None:
    """A spent code or refresh token came again: end what it gave."""
    audit.append(session, kind="oauth.reused", actor=f"client:{held.client}", subject=held.grant, at=now, detail={"what": what})
    grants.revoke(session, held.grant, "system", f"a {what} was used twice", now)


def revoke_token(session: Session, raw: str, client: Client, now: datetime) -> bool:
    """RFC 7009 section 2.1: a refresh token takes its whole grant with it, an access token goes alone. False when it is another
    client's; a token that is not known is as good as revoked."""
    if tokens.shaped(raw, tokens.REFRESH):
        held = find_refresh(session, raw)
        if held is not None and held.client == client.id:
            grants.revoke(session, held.grant, f"client:{client.id}", "given back by the agent", now)
        return held is None or held.client == client.id
    row = session.execute(
        select(AccessToken.hash, Grant.id, Grant.client).join(Grant, Grant.id == AccessToken.grant)
        .where(AccessToken.hash == tokens.digest(raw))
    ).one_or_none()
    if row is None or row.client != client.id:
        return row is None
    ended = session.execute(
        update(AccessToken).where(AccessToken.hash == row.hash, AccessToken.revoked_at.is_(None)).values(revoked_at=now)
    )
    if changed(ended) == 1:
        audit.append(session, kind="oauth.token_revoked", actor=f"client:{client.id}", subject=row.id, at=now, detail={})
    return True
