"""Grants, authorization codes and tokens. Of codes and tokens only the SHA-256 is kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

CONSENT = ("person", "client", "resource")
ACTIVE = text("status = 'active'")


class Grant(Base):
    """What a person allowed one client at one resource. Its codes and tokens are one family: they end together."""

    __tablename__ = "oauth_grant"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'revoked')", name="status"),
        CheckConstraint("(status = 'revoked') = (revoked_at IS NOT NULL)", name="revoked_at"),
        Index("uq_oauth_grant_active", *CONSENT, unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE),
    )
    shown = ("id", "client", "resource", "status")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(index=True)
    client: Mapped[str] = mapped_column(ForeignKey("client.id"), index=True)
    resource: Mapped[str]
    scopes: Mapped[list[str]]
    status: Mapped[str] = mapped_column(default="active")
    created_at: Mapped[datetime]
    consented_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    revoked_reason: Mapped[str | None]


class AuthorizationCode(Base):
    """Kept for a day after it was spent, so that a second use is recognised as one."""

    __tablename__ = "oauth_code"
    shown = ("grant", "expires_at", "spent_at")

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    grant: Mapped[str] = mapped_column(ForeignKey("oauth_grant.id"), index=True)
    redirect_uri: Mapped[str]
    challenge: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class AccessToken(Base):
    """`confirmation` is `x5t#S256` of the client certificate that has to come with it (RFC 8705 section 3), or empty."""

    __tablename__ = "oauth_access_token"
    shown = ("grant", "expires_at", "revoked_at")

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    grant: Mapped[str] = mapped_column(ForeignKey("oauth_grant.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    confirmation: Mapped[str] = mapped_column(default="")


class RefreshToken(Base):
    """Kept until it would have expired, spent or not: a spent one that comes back was stolen, here or there.

    A token client's is bound to the client, which proves itself with the key or certificate it has by then: one certificate
    lives a day, a refresh token longer (RFC 8705 section 7.1).
    """

    __tablename__ = "oauth_refresh_token"
    shown = ("grant", "expires_at", "spent_at")

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    grant: Mapped[str] = mapped_column(ForeignKey("oauth_grant.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class Assertion(Base):
    """The `jti` of a client assertion, kept for longer than it can be valid, so that it counts once (RFC 7523 section 3)."""

    __tablename__ = "oauth_assertion"
    shown = ("expires_at",)

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
