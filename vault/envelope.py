"""The envelope: the one canonical document that is shown, signed and sent; and how it is read, strictly. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict

import rfc8785

from vault.hours import read as read_hours
from vault.steps import Step, check_steps

Verdict = Literal["approve", "confirm", "reject", "break_glass"]


class Server(TypedDict):
    name: str
    url: str
    manifest: str
    """Digest of the manifest: URL, tools, context pointers, credential use."""
    owner: NotRequired[str]
    """Of a token client: the person whose it is, where an admin named one."""
    title: NotRequired[str]
    """As the page calls it."""


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
    hours: NotRequired[str]
    """Empty, or the hours (`vault.hours`) in which a decision for this need counts. The same in all needs of an envelope."""
    escalate: NotRequired[Step | list[Step]]
    match: NotRequired[bool]
    """True: who confirms types the number that their agent's screen shows (`vault.matching`). Of confirm alone."""


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
    undo: NotRequired[int]
    """Seconds, 0 to LONGEST_UNDO, between the last decision that was needed and the execution: until then it can be stopped."""
    mark: NotRequired[str]
    """Of the keeper (`vault.marks`), which alone can tell by it that nobody asked for this call."""


@dataclass(frozen=True)
class Statement:
    """One decision, signed by the keeper: `body` is canonical JSON, `signature` is over its bytes."""

    body: str
    signature: str
    """Transit's form: `vault:v<version>:<base64>`."""


ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))
EXACT = 2**53 - 1


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes. Raises ValueError on NaN, infinities and integers beyond 2**53.

    Every entry of the log is made here. For plain values Python's own encoder, in C, writes the same bytes: it escapes strings
    as section 3.2.2.2 asks, and sorts ASCII keys as section 3.2.3 does."""
    if _plain(value):
        try:
            return ENCODER.encode(value).encode("utf-8")
        except UnicodeEncodeError:
            pass  # a lone surrogate: refused below in the library's words
    return rfc8785.dumps(value)


def _plain(value: Any) -> bool:
    """No floats, which RFC 8785 writes as ECMAScript does; no keys that sort differently in UTF-16; exact types, so that no
    subclass writes itself in its own way."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is dict:
        return all(type(key) is str and key.isascii() and _plain(each) for key, each in value.items())
    if kind is list or kind is tuple:
        return all(_plain(each) for each in value)
    return isinstance(value, int) and -EXACT <= value <= EXACT


def digest(envelope: bytes) -> str:
    """Hex SHA-256 of a canonical envelope."""
    return hashlib.sha256(envelope).hexdigest()


def expiry(envelope: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(envelope["expires_at"]).replace("Z", "+00:00"))


STRONG_ENOUGH: Mapping[str, frozenset[str]] = {
    "": frozenset({"passkey", "totp"}), "totp": frozenset({"passkey", "totp"}), "passkey": frozenset({"passkey"}),
}
"""By what a need asks for: the factors that satisfy it."""


def strength(factor: Any) -> str:
    """What a statement's factor counts as: `passkey` or `totp`. Signing in again at the identity provider (`idp`) counts as the
    keeper recorded, by what its operators say of that provider; empty for what is no factor."""
    if not isinstance(factor, dict):
        return ""
    found = factor.get("strength") if factor.get("kind") == "idp" else factor.get("kind")
    return str(found) if found in ("passkey", "totp") else ""


LONGEST_UNDO = 60
MARK = 32
"""Hexadecimal digits."""


class BadEnvelope(ValueError):
    """Not a canonical envelope, or one that asks for nothing."""


def read_envelope(raw: bytes) -> Envelope:
    """The envelope, from exactly its canonical bytes: a second key of the same name, another order or another way to write a
    number would let two readers see two documents. Raises BadEnvelope."""
    try:
        found = json.loads(raw.decode("utf-8"))
        same = isinstance(found, dict) and canonical(found) == raw
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise BadEnvelope("not canonical JSON") from error
    if not same:
        raise BadEnvelope("not canonical")
    try:
        _checked(found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadEnvelope(f"not an envelope: {type(error).__name__}") from error
    envelope: Envelope = found
    return envelope


def _checked(found: Mapping[str, Any]) -> None:
    account = found["connection"]
    texts = [found["action"], found["principal"]["person"], found["expires_at"], found["server"]["name"], found["tool"]["name"]]
    whose = [account["id"], account["owner"]] if account is not None else []
    owners = [found["client"]["owner"], found["server"].get("owner", ""), *whose]
    if found["v"] != 1 or isinstance(found["v"], bool) or not all(isinstance(one, str) and one for one in texts):
        raise BadEnvelope("a field is missing")
    if not all(isinstance(one, str) for one in owners) or not all(whose):
        raise BadEnvelope("an owner is missing")
    edit = (found.get("facts") or {}).get("edit")
    if edit is not None and not (isinstance(edit, dict) and isinstance(edit.get("by"), str) and edit["by"]):
        raise BadEnvelope("it does not say who changed it")
    earlier = [] if edit is None else edit.get("earlier", [])
    if not isinstance(earlier, list) or not all(isinstance(one, str) and one for one in earlier):
        raise BadEnvelope("it does not say who changed it before")
    if not found["expires_at"].endswith("Z") or expiry(found).tzinfo is None:
        raise BadEnvelope("expires_at")
    if not isinstance(found["requirement"], list) or not found["requirement"]:
        raise BadEnvelope("it requires nothing")
    for need in found["requirement"]:
        _checked_need(need)
    if len({need["hours"] for need in found["requirement"] if need.get("hours")}) > 1:
        raise BadEnvelope("needs of different hours")
    undo = found.get("undo", 0)
    if not isinstance(undo, int) or isinstance(undo, bool) or not 0 <= undo <= LONGEST_UNDO:
        raise BadEnvelope("undo")
    _checked_mark(found.get("mark", "0" * MARK))


def _checked_mark(mark: Any) -> None:
    if not isinstance(mark, str) or len(mark) != MARK or not set(mark) <= set("0123456789abcdef"):
        raise BadEnvelope("mark")


def _checked_need(need: Mapping[str, Any]) -> None:
    quorum = need["quorum"]
    if need["factor"] not in STRONG_ENOUGH or not isinstance(quorum, int) or isinstance(quorum, bool) or quorum < 1:
        raise BadEnvelope("a need's factor or quorum")
    if (need["kind"], bool(need["group"])) not in (("confirm", False), ("approvers", True)) or not isinstance(need["group"], str):
        raise BadEnvelope("a need's kind or group")
    if not isinstance(need.get("hours", ""), str):
        raise BadEnvelope("a need's hours")
    if need.get("hours"):
        read_hours(need["hours"])
    if "escalate" in need:
        check_steps(need["escalate"], need["group"])
    if "match" in need and (need["match"] is not True or need["kind"] != "confirm"):
        raise BadEnvelope("a need's number")


def excluded(envelope: Envelope) -> frozenset[str]:
    """Who may not approve: the requester, the account's owner, the agent's owner, the owner of the server that asks for a token,
    and who changed the call. By identity, whatever their roles."""
    account, server = envelope["connection"], envelope["server"].get("owner", "")
    persons = {envelope["principal"]["person"], envelope["client"]["owner"], account["owner"] if account else "", server}
    return frozenset(persons - {""}) | editors(envelope)


def editor(envelope: Envelope) -> str:
    """The approver who changed what the agent asked for; empty where nobody did."""
    edit = (envelope.get("facts") or {}).get("edit")
    return "" if edit is None else str(edit["by"])


def editors(envelope: Envelope) -> frozenset[str]:
    """The same, and whoever changed before what was changed again. Attack: an approver's change, of which another corrects a
    word, is approved by the one who made it."""
    edit = (envelope.get("facts") or {}).get("edit")
    return frozenset() if edit is None else frozenset({str(edit["by"]), *edit.get("earlier", ())})


def confirmer(envelope: Envelope) -> str:
    """The one person who may confirm: the account's owner, or the principal where no account is used."""
    account = envelope["connection"]
    return account["owner"] if account else envelope["principal"]["person"]


def asks_match(envelope: Envelope) -> bool:
    """Whether whoever confirms it has to type the number that their agent's screen shows."""
    return any(need.get("match") for need in envelope["requirement"] if need["kind"] == "confirm")


def undo_over(undo: int, last: datetime) -> datetime:
    """When an action may run whose last needed decision was signed at `last`. A statement's time is in whole seconds, cut off:
    one more is waited for, so that the window is never shorter than it says."""
    return last + timedelta(seconds=undo + 1 if undo else 0)


def groups_asked(envelope: Envelope) -> frozenset[str]:
    return frozenset(need["group"] for need in envelope["requirement"] if need["kind"] == "approvers")
