"""Evidence for a held action's token: verified in numbered steps, and, last of all, spent (`vault.spent`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vault import evidence as rules
from vault.authority import keys
from vault.errors import NotApproved
from vault.evidence import Statement, canonical, expiry
from vault.record import Record
from vault.shapes import Evidence
from vault.spent import was_spent
from vault.table import SEGMENT, Body, Keeper, mapping, text

MAX_STATEMENTS = 20


@dataclass(frozen=True)
class Asked:
    """What a mint asks for, to be compared with what was approved."""

    connection: str
    person: str
    scopes: tuple[str, ...]
    receiver: str


def read(body: Body) -> Evidence | None:
    """The request's evidence, if it brings any. Raises BadRequest."""
    if body.get("evidence") is None:
        return None
    found = mapping(body, "evidence")
    statements = found.get("statements")
    if not isinstance(statements, list) or not 0 < len(statements) <= MAX_STATEMENTS:
        raise NotApproved("no statements")
    return Evidence(text(found, "envelope", limit=2_000_000).encode(), [_statement(one) for one in statements])


def _statement(found: Any) -> Statement:
    if not isinstance(found, dict) or not isinstance(found.get("body"), str) or not isinstance(found.get("signature"), str):
        raise NotApproved("not a statement")
    return Statement(found["body"], found["signature"])


def verify(keeper: Keeper, evidence: Evidence, *, asked: Asked, record: Record) -> str:
    """The id of the approved action. Raises NotApproved.

    1. the envelope is the canonical document itself, byte for byte, of the version known here;
    2. it has not expired;
    3. it names this connection, its owner, provider and account;
    4. it names this receiver and exactly these scopes;
    5. somebody had to decide at all: a requirement that asks for nothing approves nothing;
    6. the signed statements meet the requirement now, with the groups that the persons are in today;
    7. the action was not spent before.
    """
    now = keeper.clock()
    envelope = _canonical(evidence.envelope)  # 1
    if now >= _expiry(envelope):  # 2
        raise NotApproved("the envelope expired", hint="The approval has lapsed.")
    _same_account(envelope, asked, record)  # 3
    _same_use(envelope, asked)  # 4
    requirement = envelope.get("requirement")
    if not isinstance(requirement, list) or not requirement:  # 5
        raise NotApproved("an empty requirement")
    groups = _groups(keeper, evidence)
    met = rules.satisfied(  # 6
        requirement, evidence.statements, evidence.envelope, keys=keys(keeper), now=now, groups_now=groups
    )
    if not met:
        raise NotApproved(f"unmet: {getattr(met, 'reason', '')}")
    action = str(envelope["action"])
    if was_spent(keeper, action):  # 7
        raise NotApproved(f"{action} was spent", hint="This approval was used already.")
    return action


def _canonical(raw_envelope: bytes) -> dict[str, Any]:
    try:
        envelope = json.loads(raw_envelope)
        if not isinstance(envelope, dict) or canonical(envelope) != raw_envelope or envelope.get("v") != 1:
            raise NotApproved("not a canonical envelope")
    except (ValueError, RecursionError) as error:
        raise NotApproved("not a canonical envelope") from error
    if not isinstance(envelope.get("action"), str) or not SEGMENT.fullmatch(envelope["action"]):
        raise NotApproved("no action id")
    return envelope


def _expiry(envelope: Mapping[str, Any]) -> datetime:
    try:
        found = expiry(envelope)
    except (KeyError, ValueError) as error:
        raise NotApproved("no expiry") from error
    if found.tzinfo is None:
        raise NotApproved("no expiry")
    return found


def _same_account(envelope: Mapping[str, Any], asked: Asked, record: Record) -> None:
    account = envelope.get("connection")
    expected = (asked.connection, record.person, record.provider, record.account)
    found = tuple(account.get(key) for key in ("id", "owner", "provider", "account")) if isinstance(account, dict) else None
    if found != expected or asked.person != record.person:
        raise NotApproved("another account", hint="The approval is for another account.")


def _same_use(envelope: Mapping[str, Any], asked: Asked) -> None:
    server = envelope.get("server")
    scopes = envelope.get("scopes")
    if not isinstance(server, dict) or server.get("name") != asked.receiver:
        raise NotApproved("another receiver", hint="The approval is for another server.")
    if not isinstance(scopes, list) or sorted(map(str, scopes)) != sorted(asked.scopes):
        raise NotApproved("other scopes", hint="The approval is for another use of this account.")


def _groups(keeper: Keeper, evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """The groups, as of their last sign-in, of everyone who claims to have decided. Whom the vault does not know is in none."""
    found: dict[str, tuple[str, ...]] = {}
    for statement in evidence.statements:
        try:
            person = json.loads(statement.body).get("person")
        except (ValueError, AttributeError, RecursionError):
            continue
        if isinstance(person, str) and SEGMENT.fullmatch(person) and person not in found:
            known = keeper.kv.read(f"people/{person}")
            found[person] = tuple(known.data.get("groups", ())) if known is not None else ()
    return found
