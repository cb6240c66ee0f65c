"""The one canonical document of an action: built here once, then only read, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from vault.evidence import (
    Account,
    BadEnvelope,
    Client,
    Envelope,
    Need,
    Principal,
    Server,
    Tool,
    canonical,
    confirmer,
    digest,
    editor,
    editors,
    expiry,
    groups_asked,
    read_envelope,
)
from webapp.approvals.payloads import Tampered
from webapp.approvals.rules import Parties, State, Subject
from webapp.approvals.tables import Action
from webapp.approvals.usage import Used
from webapp.policy.calls import Hold
from webapp.policy.facts import Facts

Runs = Literal["approval", "return"]
NAMES = ("payee", "payee_name", "beneficiary", "beneficiary_name", "recipient_name", "creditor", "name")
LONGEST_NAME = 120


@dataclass(frozen=True)
class Draft:
    """A call that policy holds, before it has an id. Everything here goes into the envelope, except the titles and `runs`.

    `arguments` are the parsed ones, `facts` what policy read from them (see `facts_document`).
    """

    server: Server
    tool: Tool
    arguments: Mapping[str, Any]
    principal: Principal
    client: Client
    connection: Account | None
    scopes: Sequence[str]
    facts: Mapping[str, Any]
    server_title: str = ""
    runs: Runs = "return"
    pointers: Mapping[str, Any] = field(default_factory=dict)
    """The pin's context pointers, so that the page can tell a fact from what else the agent wrote."""

    pinned: str = ""
    """What the tool's pin is the digest of, so that it can be said later what of it changed."""

    beside: Mapping[str, Any] = field(default_factory=dict)
    """What else makes two calls the same, where that is not said by tool and arguments: the account and scopes of a token."""

    @property
    def arguments_digest(self) -> str:
        return digest_arguments({"arguments": self.arguments, **self.beside} if self.beside else self.arguments)

    @property
    def owner(self) -> str:
        return self.connection["owner"] if self.connection else self.principal["person"]


def digest_arguments(arguments: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical arguments: what makes two calls the same."""
    return hashlib.sha256(canonical(arguments)).hexdigest()


def facts_document(facts: Facts, used: Used, *, enforced: bool = True) -> dict[str, Any]:
    """The envelope's `facts`: what policy read from the arguments, and what was used before. None where a tool has none."""
    amount = facts.amount if facts.amount.status != "none" else facts.inferred_amount
    recipient = facts.recipient or facts.inferred_recipient
    inferred = {"amount": amount is not None and amount is facts.inferred_amount,
                "recipient": recipient is not None and recipient is facts.inferred_recipient}
    return {
        "amount": asdict(amount) if amount is not None else None,
        "recipient": asdict(recipient) if recipient is not None else None,
        "time": facts.time or None,
        "usage": used.document(),
        "enforced": enforced,
        "inferred": [name for name, holds in inferred.items() if holds],
    }


def named(facts: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """What the agent calls the recipient, where the fact itself is only an account number; empty otherwise."""
    if (facts.get("recipient") or {}).get("kind") != "iban":
        return ""
    found = (arguments.get(name) for name in NAMES)
    return next((value[:LONGEST_NAME] for value in found if isinstance(value, str)), "")


def titled(draft: Draft) -> Server:
    """What the page calls the server is in the document: a name in a table could be changed while it waits."""
    return {**draft.server, "title": draft.server_title[:LONGEST_NAME]} if draft.server_title else draft.server


def stamp(when: datetime) -> str:
    """RFC 3339, UTC, whole seconds, `Z`."""
    return when.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def build(
    draft: Draft, verdict: Hold, *, action: str, now: datetime, expires_at: datetime, before: Mapping[str, Any] | None,
    undo: int = 0, mark: str = "",
) -> bytes:
    """Canonical bytes (RFC 8785). `before` says what became of the last identical call, if there was one; `undo` is seconds;
    `mark` is the keeper's."""
    reasons = [{"rule": reason.rule, "text": reason.text} for reason in verdict.reasons]
    facts = {**draft.facts, "before": dict(before) if before else None, "pointers": dict(draft.pointers)}
    document: Envelope = {
        "v": 1, "action": action, "server": titled(draft), "tool": draft.tool, "arguments": draft.arguments,
        "principal": draft.principal, "client": draft.client, "connection": draft.connection, "scopes": sorted(draft.scopes),
        "facts": facts, "reasons": list(reasons), "requirement": list(verdict.needs),
        "policy": verdict.digest, "created_at": stamp(now), "expires_at": stamp(expires_at),
    }
    if undo:
        document["undo"] = undo
    if mark:
        document["mark"] = mark
    return canonical(document)


@dataclass(frozen=True)
class Document:
    """An envelope that was opened and found to be the one the action was held with."""

    raw: bytes
    envelope: Envelope

    @property
    def digest(self) -> str:
        return digest(self.raw)

    @property
    def parties(self) -> Parties:
        found = self.envelope
        return Parties(
            found["principal"]["person"], confirmer(found), found["client"]["owner"], found["server"].get("owner", ""),
            editor(found), editors(found) - {editor(found)},
        )

    @property
    def requirement(self) -> tuple[Need, ...]:
        return tuple(self.envelope["requirement"])

    @property
    def groups(self) -> frozenset[str]:
        return groups_asked(self.envelope)

    @property
    def expires_at(self) -> datetime:
        return expiry(self.envelope)

    @property
    def undo(self) -> int:
        """Seconds."""
        return self.envelope.get("undo", 0)

    @property
    def recipient(self) -> str | None:
        """In its normal form; None where there is none."""
        found = (self.envelope["facts"].get("recipient") or {}).get("value")
        return str(found) if found is not None else None

    @property
    def recipient_shown(self) -> str:
        """As it was written."""
        return str((self.envelope["facts"].get("recipient") or {}).get("text") or self.recipient or "")

    @property
    def server_title(self) -> str:
        server = self.envelope["server"]
        return server.get("title") or server["name"]

    @property
    def asked_at(self) -> datetime:
        return datetime.fromisoformat(self.envelope["created_at"].replace("Z", "+00:00"))

    @property
    def enforced(self) -> bool:
        """False where a token client only reported the call, and does it itself with the token it gets."""
        return self.envelope["facts"].get("enforced") is not False

    @property
    def named(self) -> str:
        return named(self.envelope["facts"], self.envelope["arguments"])

    @property
    def base_minor(self) -> int | None:
        amount = self.envelope["facts"].get("amount") or {}
        return amount["base_minor"] if amount.get("status") == "ok" else None

    def subject(self, state: str, run_by: datetime | None, lapses: datetime | None = None) -> Subject:
        """What the rules judge: all of it from the envelope, but for the state and its time. `lapses`: when it does so undecided,
        which the envelope bounds."""
        expires_at = self.expires_at if lapses is None or state != "held" else min(self.expires_at, lapses)
        return Subject(cast(State, state), self.parties, self.requirement, expires_at, run_by, self.undo)


def read(raw: bytes, action: Action) -> Document:
    """Steps: 1. the bytes have the digest the action was held under; 2. they are a canonical envelope; 3. of this action.
    Raises Tampered."""
    if digest(raw) != action.digest:
        raise Tampered("The stored document of this action is not the one that was held.", detail=action.id)
    try:
        envelope = read_envelope(raw)
    except BadEnvelope as error:
        raise Tampered("The stored document of this action cannot be read.", detail=f"{action.id}: {error}") from error
    if envelope["action"] != action.id:
        raise Tampered("The stored document belongs to another action.", detail=action.id)
    return Document(raw, envelope)
