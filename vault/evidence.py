"""Pure: does this set of signed statements meet this requirement for this envelope?

No input or output, no clock of its own. The keeper asks before it mints; the app asks to show and to advance an action.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

import rfc8785

Verdict = Literal["approve", "confirm", "reject"]


class Server(TypedDict):
    name: str
    url: str
    manifest: str
    """Digest of the manifest: URL, tools, context pointers, credential use."""


class Tool(TypedDict):
    name: str
    pin: str
    """Digest of the tool's pin: canonical description, class, pointers, credential use."""
    title: str
    cls: str


class Principal(TypedDict):
    person: str
    name: str


class Client(TypedDict):
    id: str
    grant: str
    name: str
    owner: str
    """Person id of the agent's owner: who allowed it."""


class Account(TypedDict):
    id: str
    """Connection id."""
    owner: str
    provider: str
    account: str
    """The provider's own account id."""
    label: str


class Need(TypedDict):
    """One requirement of a hold. All of an envelope's needs must be met."""

    kind: Literal["confirm", "approvers"]
    group: str
    """Empty for confirm."""
    quorum: int
    factor: Literal["", "passkey", "totp"]
    """Empty: any factor. A passkey also satisfies `totp`."""
    rule: str
    """Id of the policy that asked for it."""


class Envelope(TypedDict):
    """The one canonical document that is shown, signed and sent (RFC 8785)."""

    v: Literal[1]
    action: str
    server: Server
    tool: Tool
    arguments: Mapping[str, Any]
    principal: Principal
    client: Client
    connection: Account | None
    scopes: list[str]
    facts: Mapping[str, Any]
    """What the page shows: amount, recipient, time, usage, with where each came from."""
    reasons: list[Mapping[str, str]]
    """`{rule, text}` for each policy that holds."""
    requirement: list[Need]
    policy: str
    """Digest of the policy set."""
    created_at: str
    expires_at: str
    """RFC 3339, UTC, whole seconds, `Z`."""
    state: NotRequired[str]


@dataclass(frozen=True)
class Statement:
    """One decision, signed by the keeper: `body` is canonical JSON, `signature` is over its bytes."""

    body: str
    signature: str
    """Transit's form: `vault:v<version>:<base64>`."""


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes. Raises ValueError on NaN, infinities and integers beyond 2**53."""
    return rfc8785.dumps(value)


def digest(envelope: bytes) -> str:
    """Hex SHA-256 of a canonical envelope."""
    return hashlib.sha256(envelope).hexdigest()


def expiry(envelope: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(envelope["expires_at"]).replace("Z", "+00:00"))
