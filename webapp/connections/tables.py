"""Connections as the app knows them (the tokens are the keeper's), attempts to make one, and the ledger of revocations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db.base import Base

CONNECTED = text("status <> 'disconnected'")
STATUSES = ("active", "paused", "needs_consent", "disconnected")


class Connection(Base):
    """One person's connected account. `account` is the provider's own id of it, `label` what the provider calls it, `name` what
    the person does; `scopes` is what the provider granted, `reason` says in words why it needs the person's consent again.
    `preferred` is the one that calls use which do not say which; an account is connected once."""

    __tablename__ = "connections"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'paused', 'needs_consent', 'disconnected')", name="status"),
        Index("ix_connections_person_provider", "person", "provider"),
        Index(
            "uq_connections_live_account", "person", "provider", "account", unique=True,
            sqlite_where=CONNECTED, postgresql_where=CONNECTED,
        ),
        Index(
            "uq_connections_preferred", "person", "provider", unique=True,
            sqlite_where=text(f"preferred AND {CONNECTED}"), postgresql_where=text(f"preferred AND {CONNECTED}"),
        ),
    )
    shown = ("id", "provider", "status")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    provider: Mapped[str]
    account: Mapped[str]
    label: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    preferred: Mapped[bool] = mapped_column(default=False)
    suspended: Mapped[str] = mapped_column(default="")
    """The incident that keeps it from being used, or empty: until that is lifted nobody resumes or reconnects it."""
    scopes: Mapped[list[str]]
    status: Mapped[str]
    status_at: Mapped[datetime | None]
    """Since when it is so."""
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    connected_at: Mapped[datetime]
    """The last time the person consented."""
    last_used_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    key_until: Mapped[datetime | None]
    """Of an API key: the last moment, as the person gave it."""
    key_reminded_at: Mapped[datetime | None]


class SuspendedProvider(Base):
    """A provider at which nothing is connected or resumed while an incident lasts."""

    __tablename__ = "suspended_provider"
    shown = ("provider", "incident")

    provider: Mapped[str] = mapped_column(primary_key=True)
    incident: Mapped[str]
    since: Mapped[datetime]


class Attempt(Base):
    """A connection that was begun: bound to one browser session, found by the hash of its state, spent by a conditional UPDATE.
    `sealed` is the keeper's and cannot be read here."""

    __tablename__ = "connection_attempts"
    shown = ("id", "provider", "connection")

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(unique=True)
    session: Mapped[str]
    person: Mapped[str]
    provider: Mapped[str]
    connection: Mapped[str]
    callback: Mapped[str]
    """The path the provider was told to return to."""
    scopes: Mapped[list[str]]
    """What was asked for."""
    sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class Revocation(Base):
    """What a provider was asked to end, and whether it said that it did. `subject` is a connection, an exclusive lease, or
    `<connection>:tokens`: what a pause or a new consent left behind, or `<connection>@<server>`: what a server was given. It ends
    when the provider confirms, or a person says that they ended it there (`by_hand`); `unsupported` waits for the latter."""

    __tablename__ = "revocations"
    __table_args__ = (CheckConstraint("state IN ('pending', 'confirmed', 'unsupported', 'by_hand')", name="state"),)
    shown = ("subject", "state", "tries")

    subject: Mapped[str] = mapped_column(primary_key=True)
    connection: Mapped[str] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(default="pending")
    tries: Mapped[int] = mapped_column(default=0)
    detail: Mapped[str] = mapped_column(default="")
    requested_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]


LIVE = text("status = 'active'")


class ConnectionConsent(Base):
    """What one person let one token client do with one of their connected accounts; at most one is live for a client and an
    account. `kind` is `person` (only in answer to a call that was made in the person's name) or `service` (also by itself).
    Ended ones are kept: they say who was allowed what, and when."""

    __tablename__ = "connection_consent"
    __table_args__ = (
        CheckConstraint("kind IN ('person', 'service')", name="kind"),
        CheckConstraint("status IN ('active', 'withdrawn')", name="status"),
        CheckConstraint("(status = 'withdrawn') = (ended_at IS NOT NULL)", name="ended_at"),
        Index("uq_connection_consent_live", "client", "connection", unique=True, sqlite_where=LIVE, postgresql_where=LIVE),
    )
    shown = ("id", "client", "connection", "kind", "status")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str] = mapped_column(index=True)
    client: Mapped[str] = mapped_column(ForeignKey("client.id"))
    connection: Mapped[str] = mapped_column(ForeignKey("connections.id"), index=True)
    kind: Mapped[str]
    scopes: Mapped[list[str]]
    status: Mapped[str]
    given_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]
    last_used_at: Mapped[datetime | None]
