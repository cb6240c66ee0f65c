"""Persons, their sessions, and sign-ins that were begun. Nothing here is a credential, and nothing here grants anything:
who a person is and what groups they have is read from the ticket that the keeper signed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.db import Base


class Person(Base):
    """Someone who signed in. Name, e-mail and groups are what the last sign-in said, for display and for notices only."""

    __tablename__ = "person"
    __table_args__ = (UniqueConstraint("issuer", "subject"), CheckConstraint("tries >= 0", name="tries"))
    shown = ("id", "seen_at")

    id: Mapped[str] = mapped_column(primary_key=True)
    issuer: Mapped[str]
    subject: Mapped[str]
    name: Mapped[str]
    email: Mapped[str]
    groups: Mapped[list[str]]
    zone: Mapped[str] = mapped_column(default="UTC")
    locale: Mapped[str] = mapped_column(default="")
    """For numbers; empty where the browser's is meant."""
    language: Mapped[str] = mapped_column(default="")
    """Of pages; empty where the browser's is meant."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    """Factor answers given since `tries_since` and not followed by a right one."""
    tries_since: Mapped[datetime | None]
    same_as: Mapped[list[str]] = mapped_column(default=list)
    """Other sign-ins of the same human. A copy of the keeper's record, which is what counts: it can only tighten."""
    suspended: Mapped[str] = mapped_column(default="")
    """The incident that keeps this person out, or empty. Unlike the rest of the row this is decided here: while it is set, no
    session and no token of theirs counts, and no decision of theirs carries anything."""
    factors: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """`id`, `kind` and `created_at` of each, as `factor_rows` keeps them: for display and for notices only."""
    step_up: Mapped[str] = mapped_column(default="")
    """What signing in again for a decision counted as when they last signed in (`passkey`, `totp`): for notices only, too."""
    away_until: Mapped[datetime | None]
    """They said so: others are asked first."""
    lent_until: Mapped[datetime | None]
    """Until then it is worth asking the keeper whether somebody lends them a group. It says nothing itself."""


class Session(Base):
    """A browser that signed in. `cookie` is the hex SHA-256 of its cookie; `ticket` is bound to the cookie itself, so that a
    row, however written, is worth nothing without it."""

    __tablename__ = "session"
    shown = ("id", "person", "seen_at", "ended_at")

    id: Mapped[str] = mapped_column(primary_key=True)
    cookie: Mapped[str] = mapped_column(unique=True)
    person: Mapped[str] = mapped_column(ForeignKey("person.id"), index=True)
    ticket: Mapped[str]
    browser: Mapped[str]
    sid: Mapped[str] = mapped_column(default="", index=True)
    """Names the session at the identity provider (`backchannel.sid`); empty where it named none."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    idle_until: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    ended_why: Mapped[str | None]


class Readmission(Base):
    """Two administrators let somebody in again who lost every device: a copy of the keeper's record, for pages. A row lets nobody
    in: the keeper does, by what it signed itself."""

    __tablename__ = "readmission"
    __table_args__ = (
        CheckConstraint("state IN ('started', 'agreed', 'used', 'ended')", name="state"),
        Index("ix_readmission_person", "person"),
    )
    shown = ("id", "person", "state", "until")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    reason: Mapped[str]
    state: Mapped[str]
    started_by: Mapped[str]
    started_at: Mapped[datetime]
    confirmed_by: Mapped[str]
    """Person ids, or `operator`; empty until somebody confirmed."""
    confirmed_at: Mapped[datetime | None]
    until: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Doubt(Base):
    """Somebody said of an entry in their security log that it was not them, until an administrator has looked into it."""

    __tablename__ = "doubt"
    __table_args__ = (UniqueConstraint("person", "entry"),)
    shown = ("id", "person", "entry", "settled_at")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    entry: Mapped[str]
    kind: Mapped[str]
    made_at: Mapped[datetime]
    settled_at: Mapped[datetime | None] = mapped_column(index=True)
    settled_by: Mapped[str | None]


class LogoutToken(Base):
    """A logout token that was taken: it is not taken again. `id` is the hex SHA-256 of issuer and `jti`."""

    __tablename__ = "logout_token"
    shown = ("id", "until")

    id: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime] = mapped_column(index=True)


class SignIn(Base):
    """A sign-in that was begun: good once, in the browser that began it, until `expires_at`."""

    __tablename__ = "sign_in"
    shown = ("id", "created_at", "spent_at")

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(unique=True)
    """Hex SHA-256 of the state that the identity provider returns."""
    browser: Mapped[str]
    """Hex SHA-256 of the cookie of the browser that began it."""
    sealed: Mapped[str]
    """What the keeper needs to finish (verifier, nonce, state), encrypted by the keeper."""
    next_url: Mapped[str]
    """Where the person wanted to go: a path of ours."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]


class Delegation(Base):
    """A membership that `lender` lends `person`: a copy of the keeper's record, for pages. A row that the keeper has no record of
    gives nobody anything."""

    __tablename__ = "delegation"
    __table_args__ = (Index("ix_delegation_person", "person", "until"), Index("ix_delegation_lender", "lender", "until"))
    shown = ("id", "lender", "person", "group_name", "until")

    id: Mapped[str] = mapped_column(primary_key=True)
    lender: Mapped[str]
    person: Mapped[str]
    group_name: Mapped[str]
    servers: Mapped[list[str]]
    classes: Mapped[list[str]]
    up_to: Mapped[int | None] = mapped_column(BigInteger)
    """Minor units of the base currency; None: no bound."""
    since: Mapped[datetime]
    until: Mapped[datetime]
    made_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None]


class OnCall(Base):
    """A weekly slot of a group's rota, in the policy's zone: who is asked first then."""

    __tablename__ = "on_call"
    __table_args__ = (
        CheckConstraint("day BETWEEN 0 AND 6 AND first >= 0 AND last > first AND last <= 24", name="slot"),
        Index("ix_on_call_group", "group_name", "day"),
    )
    shown = ("id", "group_name", "day", "first", "last")

    id: Mapped[str] = mapped_column(primary_key=True)
    group_name: Mapped[str]
    day: Mapped[int]
    """0 is Monday."""
    first: Mapped[int]
    last: Mapped[int]
    person: Mapped[str]
    made_at: Mapped[datetime]
