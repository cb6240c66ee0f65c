"""Evidence for a held action's token: verified in numbered steps, and, last of all, spent (`vault.spent`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vault import evidence as rules
from vault import marks
from vault.authority import keys
from vault.decisions import may_break
from vault.delegating import still
from vault.errors import NotApproved
from vault.evidence import Envelope, Statement
from vault.people import Person, held_at, of
from vault.record import Record
from vault.shapes import Evidence
from vault.spent import was_rejected, was_spent
from vault.table import SEGMENT, Body, Keeper, mapping, text

MAX_STATEMENTS = 100
"""More than the largest quorums of two groups and a confirmation."""


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
    2. it has not expired, and it is no decoy;
    3. it names this connection, its owner, provider and account;
    4. it names this receiver and exactly these scopes;
    5. somebody had to decide at all: a requirement that asks for nothing approves nothing;
    6. the signed statements, made since this vault was last restored from a backup, meet the requirement now, with the groups
       that the persons are in today, the delegations that were not ended since, the sign-ins that are linked today, and those who
       may break the glass today;
    7. nobody rejected this envelope, also where their statement is kept back, and the action was not spent before.
    """
    envelope = _current(keeper, evidence)  # 1, 2
    _same_account(envelope, asked, record)  # 3
    _same_use(envelope, asked)  # 4
    return _decided(keeper, evidence, envelope)  # 5, 6, 7


def verify_without_account(keeper: Keeper, evidence: Evidence, *, receiver: str) -> str:
    """The same for a call that uses no account, so that no token stands between a decision and the call: steps 1, 2, 5, 6 and 7
    of `verify`, and the envelope names this receiver, no account and no scopes. Raises NotApproved."""
    envelope = _current(keeper, evidence)
    if envelope["connection"] is not None or envelope["scopes"]:
        raise NotApproved("it uses an account", hint="The approval is for the use of an account.")
    if envelope["server"]["name"] != receiver:
        raise NotApproved("another receiver", hint="The approval is for another server.")
    return _decided(keeper, evidence, envelope)


def _current(keeper: Keeper, evidence: Evidence) -> Envelope:
    envelope = _envelope(evidence.envelope)
    if keeper.clock() >= rules.expiry(envelope):
        raise NotApproved("the envelope expired", hint="The approval has lapsed.")
    marks.require_asked(keeper, envelope)
    return envelope


def _decided(keeper: Keeper, evidence: Evidence, envelope: Envelope) -> str:
    if not envelope["requirement"]:
        raise NotApproved("an empty requirement")
    statements = _since_restored(keeper, evidence.statements)
    people, when = _people(keeper, evidence), held_at(envelope)
    met = rules.satisfied(
        envelope["requirement"], statements, evidence.envelope, keys=keys(keeper), now=keeper.clock(),
        groups_now={who: {*one.groups, *_lent(keeper, evidence, envelope, who)} for who, one in people.items()},
        same_now={who: one.same_for(when) for who, one in people.items()},
        glass_now={who for who, one in people.items() if may_break(keeper, one)},
    )
    if isinstance(met, rules.Unmet):
        raise NotApproved(f"unmet: {met.reason}")
    action = envelope["action"]
    if was_rejected(keeper, rules.digest(evidence.envelope)):
        raise NotApproved(f"{action} was rejected", hint="Somebody rejected it.")
    if was_spent(keeper, action):
        raise NotApproved(f"{action} was spent", hint="This approval was used already.")
    return action


def _since_restored(keeper: Keeper, statements: Sequence[Statement]) -> list[Statement]:
    """Those that were made on this very vault; a statement's time is in whole seconds, cut off.

    Attack: what was decided before a backup was restored is used once more, for the vault of the backup does not know that it was
    spent since."""
    restored = keeper.settings.restored_at
    if restored is None:
        return list(statements)
    return [one for one in statements if (at := _made_at(one)) is not None and at > restored]


def _made_at(statement: Statement) -> datetime | None:
    """What it says itself; whether it is signed is looked at next."""
    try:
        at = datetime.fromisoformat(json.loads(statement.body)["at"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return at if at.tzinfo is not None else None


def _envelope(raw: bytes) -> Envelope:
    try:
        found = rules.read_envelope(raw)
    except rules.BadEnvelope as error:
        raise NotApproved(f"envelope: {error}") from error
    if not SEGMENT.fullmatch(found["action"]):
        raise NotApproved("no action id")
    return found


def _same_account(envelope: Envelope, asked: Asked, record: Record) -> None:
    account = envelope["connection"]
    expected = (asked.connection, record.person, record.provider, record.account)
    found = (account["id"], account["owner"], account["provider"], account["account"]) if account is not None else None
    if found != expected or asked.person != record.person:
        raise NotApproved("another account", hint="The approval is for another account.")


def _same_use(envelope: Envelope, asked: Asked) -> None:
    if envelope["server"]["name"] != asked.receiver:
        raise NotApproved("another receiver", hint="The approval is for another server.")
    if sorted(envelope["scopes"]) != sorted(asked.scopes):
        raise NotApproved("other scopes", hint="The approval is for another use of this account.")


def _people(keeper: Keeper, evidence: Evidence) -> dict[str, Person]:
    """What is known now of everyone who claims to have decided. Whom the vault does not know is in no group."""
    found: dict[str, Person] = {}
    for statement in evidence.statements:
        try:
            who = json.loads(statement.body).get("person")
        except (ValueError, AttributeError, RecursionError):
            continue
        if isinstance(who, str) and SEGMENT.fullmatch(who) and who not in found:
            known = keeper.kv.read(f"people/{who}")
            if known is not None:
                found[who] = of(who, known.data)
    return found


def _lent(keeper: Keeper, evidence: Evidence, envelope: Envelope, who: str) -> frozenset[str]:
    """The groups that a person's statements name as lent to them, where that still stands."""
    found: frozenset[str] = frozenset()
    for statement in evidence.statements:
        try:
            body = json.loads(statement.body)
            if body.get("person") == who and body.get("delegated"):
                found |= still(keeper, who, body["delegated"], envelope)
        except (ValueError, AttributeError, RecursionError):
            continue
    return found
