"""Statements as they are stored, and what they say once their signature was verified."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from vault.evidence import Envelope, Statement, parse_statement, standing, strength
from webapp.approvals.rules import Given
from webapp.approvals.tables import Decision
from webapp.web.house import House

Keys = Mapping[int, bytes]


@dataclass(frozen=True)
class Verified:
    """The statements on one action. `forged` counts rows that do not verify or speak of something else; no decisions."""

    given: tuple[Given, ...]
    statements: tuple[Statement, ...]
    entries: tuple[str, ...]
    forged: int = 0


def stored(session: Session, action_id: str) -> Sequence[Decision]:
    return session.scalars(select(Decision).where(Decision.action == action_id).order_by(Decision.at, Decision.id)).all()


def verify(
    rows: Iterable[Decision], *, expected_action: str, expected_digest: str, keys: Keys, envelope: Envelope | None = None,
    same: Mapping[str, Sequence[str]] | None = None,
) -> Verified:
    """Steps for each row: 1. the keeper signed it; 2. it speaks of this action; 3. of this very envelope. A row that fails one
    is not a decision. With the `envelope`, each stands for the groups that `vault.standing` says. `same`: sign-ins that were
    linked since it was signed; they can only make fewer humans of those who did."""
    given, statements, entries, forged = [], [], [], 0
    for row in rows:
        statement = Statement(row.body, row.signature)
        body = _body(statement, keys)
        if body is None or body["action"] != expected_action or body["digest"] != expected_digest:
            forged += 1
            continue
        one = _given(standing(body, envelope) if envelope is not None else body)
        linked = (other for who in (one.person, *one.same_as) for other in (same or {}).get(who, ()))
        given.append(replace(one, same_as=tuple(dict.fromkeys((*one.same_as, *linked)))))
        statements.append(statement)
        entries.append(row.entry)
    return Verified(tuple(given), tuple(statements), tuple(entries), forged)


def persons(rows: Iterable[Decision]) -> set[str]:
    """Everyone whose other sign-ins matter: those who decided, and in whose place. What the rows say: it can only tighten."""
    found: set[str] = set()
    for row in rows:
        found.add(row.person)
        try:
            found.update(str(one["by"]) for one in (json.loads(row.body).get("delegated") or {}).values())
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def as_stored(rows: Iterable[Decision]) -> tuple[Given, ...]:
    """What the rows say, verified by nobody: for notices, never for a decision."""
    found = []
    for row in rows:
        try:
            found.append(_given(json.loads(row.body)))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return tuple(found)


def authority_keys(house: House) -> Keys:
    """The keeper's public keys; asked for before a transaction, used inside it."""
    return house.door.public_keys().authority


def given_of(statement: Statement, keys: Keys, envelope: Envelope) -> Given:
    """What a statement that the keeper just signed says. Raises KeeperError when it does not verify."""
    return _given(standing(parse_statement(statement, keys), envelope))


def _body(statement: Statement, keys: Keys) -> Mapping[str, Any] | None:
    try:
        body: Mapping[str, Any] = parse_statement(statement, keys)
    except (KeeperError, ValueError):
        return None
    return body if body.get("kind") == "decision" else None


def _given(body: Mapping[str, Any]) -> Given:
    factor = body.get("factor") or {}
    return Given(
        person=body["person"], name=body["name"], groups=tuple(body["groups"]), verdict=body["verdict"],
        factor=factor.get("kind", ""), reason=body["reason"], at=datetime.fromisoformat(body["at"].replace("Z", "+00:00")),
        same_as=tuple(body.get("same_as", ())), strength=strength(factor), matched=body.get("matched") is True,
        decoy=bool(body.get("decoy")),
    )
