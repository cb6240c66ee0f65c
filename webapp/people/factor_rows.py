"""Which factors a person has, as the last change said: a copy of what the keeper keeps, so that a list can be read without asking
it for each person. Whom to tell and whom to name; never a reason to let anybody decide."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from vault.door import Factor
from webapp.people.tables import Person

YOUNG = timedelta(hours=24)
"""The keeper lets no younger factor approve; in an evaluation instance, it does."""


def note(session: Session, person: str, factor: Factor) -> None:
    row = session.get(Person, person, with_for_update=True, populate_existing=True)
    if row is not None:
        one = {"id": factor.id, "kind": factor.kind, "created_at": factor.created_at.isoformat()}
        row.factors = [*(known for known in row.factors if known["id"] != factor.id), one]


def forget(session: Session, person: str, factor: str) -> None:
    row = session.get(Person, person, with_for_update=True, populate_existing=True)
    if row is not None:
        row.factors = [known for known in row.factors if known["id"] != factor]


def kinds(person: Person, now: datetime, *, approving: bool, evaluation: bool) -> frozenset[str]:
    """The kinds of factor by which this person could decide now. Signing in again is as good as what it counts as, for who
    has a second step to sign in with at all."""
    old_enough = not approving or evaluation
    found = {one["kind"] for one in person.factors if old_enough or now - datetime.fromisoformat(one["created_at"]) >= YOUNG}
    return frozenset(found | ({person.step_up} if person.step_up and person.factors else set()))
