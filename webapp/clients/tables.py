"""Clients, what token clients have besides, and how many registered in an hour."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

SELF = "itself"


class Client(Base):
    """An OAuth client: an agent (an MCP client), or a token client (an MCP server that asks for tokens).

    `name` is what the client says of itself. `verified` is an admin's word: nothing that a client sends sets it (promise 10).
    """

    __tablename__ = "client"
    __table_args__ = (
        CheckConstraint("kind IN ('agent', 'token')", name="kind"),
        CheckConstraint("status IN ('active', 'paused', 'revoked')", name="status"),
        Index("ix_client_created_at", "created_at"),
    )
    shown = ("id", "kind", "status", "verified")

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    redirect_uris: Mapped[list[str]]
    status: Mapped[str] = mapped_column(default="active")
    verified: Mapped[bool] = mapped_column(default=False)
    suspended: Mapped[str] = mapped_column(default="")
    """The incident by which it is paused, or empty: until that is lifted there, nobody resumes it."""
    registered_by: Mapped[str] = mapped_column(default=SELF)
    created_at: Mapped[datetime]


class RegistrationCount(Base):
    """How many clients registered from one source, or from all, in one hour: counted where every process sees it."""

    __tablename__ = "client_registrations"
    shown = ("bucket", "count")

    bucket: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    hour: Mapped[datetime] = mapped_column(index=True)


class TokenClient(Base):
    """What a client of kind `token` has besides: how it proves who it is, and the address of its own MCP endpoint, if it has one.

    `resource` is the audience of the tokens of ours that agents and persons hold for it; NULL where it has none.
    """

    __tablename__ = "token_client"
    __table_args__ = (CheckConstraint("auth_method IN ('tls_client_auth', 'private_key_jwt')", name="auth_method"),)
    shown = ("client", "auth_method", "resource")

    client: Mapped[str] = mapped_column(ForeignKey("client.id"), primary_key=True)
    auth_method: Mapped[str]
    spiffe: Mapped[str] = mapped_column(unique=True)
    resource: Mapped[str | None] = mapped_column(unique=True)
    owner: Mapped[str] = mapped_column(default="")
    """The person whose it is, as an admin said; empty where nobody was named. Approves nothing that it asks for (promise 8)."""


class ClientKey(Base):
    """A public key that a client signs assertions with (RFC 7523). `thumbprint` is RFC 7638's, and nobody else's key has it."""

    __tablename__ = "client_key"
    shown = ("id", "client", "thumbprint", "ended_at")

    id: Mapped[str] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(ForeignKey("client.id"), index=True)
    jwk: Mapped[dict[str, Any]]
    thumbprint: Mapped[str] = mapped_column(unique=True)
    added_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Certificate(Base):
    """A client certificate that the keeper's authority gave. `serial` is lower-case hex with colons, as Vault writes it;
    `thumbprint` is RFC 8705's `x5t#S256`: the base64url of SHA-256 over its DER. `renewed_from` is the serial of the one that it
    was renewed by; empty where an admin gave it."""

    __tablename__ = "client_certificate"
    shown = ("serial", "client", "not_after", "revoked_at")

    serial: Mapped[str] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(ForeignKey("client.id"), index=True)
    thumbprint: Mapped[str] = mapped_column(unique=True)
    issued_at: Mapped[datetime]
    not_after: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    renewed_from: Mapped[str] = mapped_column(default="", index=True)


class Permission(Base):
    """What an admin lets a token client ask for at one provider. Empty `tools` and `resources` name none, not all."""

    __tablename__ = "client_permission"
    shown = ("client", "provider", "scopes")

    client: Mapped[str] = mapped_column(ForeignKey("client.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    scopes: Mapped[list[str]]
    tools: Mapped[list[str]]
    resources: Mapped[list[str]]
