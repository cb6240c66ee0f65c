"""How people answered decoys: for admins, beside how they decide, and in no other figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.approvals.tables import Action, Decision
from webapp.people import lookup


@dataclass
class Answered:
    """One person's first words on decoys. `missed`: they let it pass; `caught`: they said no."""

    name: str = ""
    caught: int = 0
    missed: int = 0


@dataclass(frozen=True)
class Decoys:
    people: tuple[Answered, ...]
    unanswered: int
    """Ended before anybody said a word on them."""


def of(session: Session, since: datetime) -> Decoys:
    """By person, who missed most first."""
    found = _answers(session, since)
    names = lookup.names(session, found)
    for person, one in found.items():
        one.name = names[person]
    said = select(Decision.action).where(Decision.action == Action.id).exists()
    silent = select(func.count()).select_from(Action).where(Action.mark == "decoy", Action.ended_at >= since, ~said)
    people = sorted(found.values(), key=lambda one: (-one.missed, -one.caught, one.name))
    return Decoys(tuple(people), session.scalar(silent) or 0)


def _answers(session: Session, since: datetime) -> Mapping[str, Answered]:
    found: dict[str, Answered] = {}
    rows = session.execute(
        select(Decision.person, Decision.verdict, func.count()).join(Action, Action.id == Decision.action)
        .where(Action.mark == "decoy", Decision.at >= since).group_by(Decision.person, Decision.verdict)
    )
    for person, verdict, count in rows:
        one = found.setdefault(person, Answered())
        one.caught += count if verdict == "reject" else 0
        one.missed += count if verdict != "reject" else 0
    return found
