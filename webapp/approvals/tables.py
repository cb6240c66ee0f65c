"""Held actions, what was decided on them, and what counts against caps.

No argument is here in clear: the canonical envelope and the result are sealed payloads. The columns in clear are what the queue
and the rules need; the page and the execution read the envelope, never these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.approvals.rules import LIVE, STATES
from webapp.db.base import Base

_live = text("state IN ({})".format(", ".join(f"'{state}'" for state in LIVE)))
_short = text("short <> '' AND state = 'held'")
_sums = text("base_minor IS NOT NULL")
MARKS = ("", "sealed", "asked", "decoy")
_states = "state IN ({})".format(", ".join(f"'{state}'" for state in STATES))


class Action(Base):
    """One tool call that policy held."""

    __tablename__ = "action"
    __table_args__ = (
        CheckConstraint(_states, name="state"),
        CheckConstraint("(amount_minor IS NULL) = (currency IS NULL)", name="amount"),
        CheckConstraint("runs IN ('approval', 'return')", name="runs"),
        CheckConstraint("mark IN ({})".format(", ".join(f"'{mark}'" for mark in MARKS)), name="mark"),
        Index("uq_action_live", "person", "grant_id", "server", "tool", "arguments", unique=True,
              sqlite_where=_live, postgresql_where=_live),
        Index("ix_action_same", "person", "grant_id", "server", "tool", "arguments", "created_at"),
        Index("ix_action_queue", "state", "rank", "expires_at"),
        Index("ix_action_person", "person", "id"),
        Index("ix_action_created", "created_at"),
        Index("ix_action_short", "expires_at", sqlite_where=_short, postgresql_where=_short),
    )
    shown = ("id", "state", "server", "tool")

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    digest: Mapped[str]
    """Hex SHA-256 of the canonical envelope."""
    arguments: Mapped[str]
    """Hex SHA-256 of the canonical arguments."""
    person: Mapped[str]
    """The principal: whose agent asks."""
    owner: Mapped[str]
    """Who owns the account that is used; the principal where none is."""
    agent_owner: Mapped[str]
    server_owner: Mapped[str] = mapped_column(default="")
    """Whose the token client is that asks; empty where nobody was named."""
    client: Mapped[str]
    client_name: Mapped[str]
    grant_id: Mapped[str]
    server: Mapped[str]
    server_title: Mapped[str]
    tool: Mapped[str]
    tool_title: Mapped[str]
    cls: Mapped[str]
    connection: Mapped[str | None]
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    recipient: Mapped[str]
    """Shortened, for the queue."""
    named: Mapped[str]
    """What the agent calls the recipient, where that is an account number; shortened."""
    flags: Mapped[list[str]]
    """Words for the queue's chips: `new`, `lookalike`, `unreadable`, `again`, `reported`."""
    rank: Mapped[int]
    """Order in the queue (`ranking`): 0 is what could go most wrong."""
    asks_owner: Mapped[bool]
    """Whether the owner's confirmation is among what it needs."""
    requirement: Mapped[list[dict[str, Any]]]
    """A copy for the queue. The one that counts is in the envelope."""
    policy: Mapped[str]
    runs: Mapped[str]
    """Who runs it once approved: `approval` (the worker, at once) or `return` (the agent's waiting or next call)."""
    previous: Mapped[str | None]
    """The last action with the same call."""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime] = mapped_column(index=True)
    """The last change that a page would show."""
    expires_at: Mapped[datetime]
    """When it lapses undecided: never after the envelope's own time, and before it where a rule lets people put that off."""
    decided_at: Mapped[datetime | None]
    runs_at: Mapped[datetime | None]
    """Approved, it can be stopped until then, and nothing runs it before. A copy: the signed decisions say when that is."""
    run_by: Mapped[datetime | None]
    """An approval that nobody has picked up by then expires."""
    waiting_until: Mapped[datetime | None]
    """Until when a request of the agent waits for the decision."""
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    run: Mapped[str | None]
    """Fence: which execution is under way."""
    lease: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(default="")
    """Why it ended as it did: an approver's words for `rejected`, ours for the rest."""
    reason_code: Mapped[str] = mapped_column(default="")
    """The same for a program: a preset's code, `other` for words alone, `agent_paused`, `stopped`; or empty."""
    drift: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    """What changed, where that made it void: names, and texts before and after. No argument of the call."""
    ended_by: Mapped[str | None]
    replaced_by: Mapped[str | None]
    """The action that waits in its place, where an approver changed its arguments."""
    edit_of: Mapped[str | None]
    """The action in whose place it waits. Who changed what is in the document."""
    edited_by: Mapped[str | None]
    closed_by: Mapped[str | None]
    """Who closed an uncertain action."""
    closed_at: Mapped[datetime | None]
    mark: Mapped[str] = mapped_column(default="")
    """`sealed`: its document carries a mark by which the keeper knows whether it is a decoy, and it told nobody yet. `asked`,
    `decoy`: it told. Empty where none was carried."""
    person_name: Mapped[str] = mapped_column(default="")
    """Whose agent asks, as the document names them; shortened."""
    short: Mapped[str] = mapped_column(default="")
    """Why too few are there who could decide it, in a sentence for people; empty where they are enough."""

    @property
    def in_hours(self) -> bool:
        """Whether some of those who decide may do so in their business hours alone."""
        return any(need.get("hours") for need in self.requirement)


class Claim(Base):
    """Somebody is on it until then. It stops nobody."""

    __tablename__ = "claim"
    shown = ("action", "person", "until")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    person: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]
    until: Mapped[datetime]


class ActionGroup(Base):
    """A group whose members may decide an action: for the queue."""

    __tablename__ = "action_group"
    __table_args__ = (Index("ix_action_group_name", "name", "action"),)
    shown = ("action", "name")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class HeldTool(Base):
    """What a tool's pin is the digest of, kept for as long as an action may have to say what of it changed."""

    __tablename__ = "held_tool"
    shown = ("pin",)

    pin: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[str]
    """Canonical JSON; its SHA-256 is `pin`."""


class Payload(Base):
    """AES-256-GCM under a key of its own, wrapped by an hourly key: deleting the row shreds the document."""

    __tablename__ = "payload"
    __table_args__ = (CheckConstraint("direction IN ('request', 'result')", name="direction"),)
    shown = ("action", "direction")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    direction: Mapped[str] = mapped_column(primary_key=True)
    nonce: Mapped[bytes]
    ciphertext: Mapped[bytes]
    key_nonce: Mapped[bytes]
    key_ciphertext: Mapped[bytes]
    wrapped: Mapped[str]
    """Names the hourly key to the keeper."""


class Decision(Base):
    """One signed statement. The columns beside it are for lists; what counts is what the statement says."""

    __tablename__ = "decision"
    __table_args__ = (
        UniqueConstraint("action", "person", "verdict"),
        CheckConstraint("verdict IN ('approve', 'confirm', 'reject', 'break_glass')", name="verdict"),
        Index("ix_decision_person", "person", "at"),
    )
    shown = ("id", "action", "person", "verdict")

    id: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(ForeignKey("action.id"), index=True)
    person: Mapped[str]
    verdict: Mapped[str]
    body: Mapped[str]
    signature: Mapped[str]
    entry: Mapped[str]
    """The audit entry that a signed checkpoint must cover before the action runs."""
    at: Mapped[datetime]


class TokenRequest(Base):
    """A token client's request that waits for people: what it polls with, and how often it may (OpenID CIBA section 7.3).

    `hash` is SHA-256 of the `auth_req_id`. That is no credential: it is of use only to the client itself, with its key or
    certificate, and the envelope says which client that is. A reader of the database still need not have it.
    """

    __tablename__ = "token_request"
    shown = ("action", "client")

    action: Mapped[str] = mapped_column(ForeignKey("action.id"), primary_key=True)
    hash: Mapped[bytes] = mapped_column(unique=True)
    client: Mapped[str]
    interval: Mapped[int]
    """Seconds between two polls; grows with each that comes too soon."""
    polled_at: Mapped[datetime]
    created_at: Mapped[datetime]


class Usage(Base):
    """What a call counts against caps: reserved where it is held or allowed, committed at execution, released on proof that
    nothing ran. Keyed on person, account and recipient: a client can register again under another name."""

    __tablename__ = "usage"
    __table_args__ = (
        CheckConstraint("state IN ('reserved', 'committed', 'released')", name="state"),
        # What is counted with every call is read from these alone: an agent's thousand small calls must not slow the next.
        Index("ix_usage_person", "person", "at", "state", "client", "server", "tool"),
        Index("ix_usage_connection", "connection", "at", "state"),
        Index("ix_usage_recipient", "recipient", "person", "at", "state"),
        Index("ix_usage_sum_person", "person", "at", "state", "client", "server", "tool", "base_minor",
              sqlite_where=_sums, postgresql_where=_sums),
        Index("ix_usage_sum_connection", "connection", "at", "state", "base_minor", sqlite_where=_sums, postgresql_where=_sums),
        Index("ix_usage_sum_recipient", "recipient", "person", "at", "state", "base_minor",
              sqlite_where=_sums, postgresql_where=_sums),
    )
    shown = ("id", "state", "server", "tool")

    id: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str | None] = mapped_column(ForeignKey("action.id"), unique=True)
    person: Mapped[str]
    connection: Mapped[str]
    """Empty where no account is used."""
    recipient: Mapped[str]
    """Hex SHA-256 of the recipient's normal form; empty where there is none."""
    client: Mapped[str]
    server: Mapped[str]
    tool: Mapped[str]
    minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    base_minor: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str]
    at: Mapped[datetime]


class KnownRecipient(Base):
    """Whom a person paid or wrote to from an account after a person's word, and up to what amount."""

    __tablename__ = "known_recipient"
    __table_args__ = (UniqueConstraint("person", "connection", "server", "recipient"),)
    shown = ("id", "times")

    id: Mapped[str] = mapped_column(primary_key=True)
    person: Mapped[str]
    connection: Mapped[str]
    server: Mapped[str]
    recipient: Mapped[str]
    """As in Usage."""
    shown_as: Mapped[str]
    """The recipient as a person reads it, shortened: what a lookalike is compared with."""
    up_to_base_minor: Mapped[int] = mapped_column(BigInteger)
    """The largest amount that was approved, in minor units of the base currency."""
    times: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class StepUp(Base):
    """A decision that somebody went to the identity provider for: good once, in the session that began it, until
    `expires_at`. It gives nothing: the keeper sealed what it is for, and checks all of it again."""

    __tablename__ = "step_up"
    shown = ("id", "action", "person", "spent_at")

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(unique=True)
    """Hex SHA-256 of the state that the identity provider returns."""
    session: Mapped[str]
    person: Mapped[str]
    action: Mapped[str]
    page: Mapped[str]
    """What the page showed when they pressed the button (`Seen.written`)."""
    sealed: Mapped[str]
    """By the keeper: whose it is, verdict, the envelope's digest, nonce and verifier."""
    asked: Mapped[bool]
    """A detail was asked for, and typed."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    spent_at: Mapped[datetime | None]
