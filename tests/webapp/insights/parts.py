"""Actions, looks and kept calls as they stand in the tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from tests.webapp.approvals.desk.parts import put, row
from webapp.approvals.judged import keeping
from webapp.approvals.pace.looks import UNDECIDED
from webapp.approvals.pace.tables import Look
from webapp.db import Database
from webapp.ids import new_id
from webapp.policy.calls import Call
from webapp.policy.engine import PolicySet


def action(
    database: Database, at: datetime, *, look: int | None = None, decided: int | None = None, group: str = "finance",
    by: str = "per_bob", **otherwise: Any,
) -> str:
    """Held then; opened and decided so many seconds later."""
    end = None if decided is None else at + timedelta(seconds=decided)
    state = otherwise.pop("state", "held" if decided is None else "done")
    made = row(at, state=state, decided_at=end, started_at=end, ended_at=end, **otherwise)
    [one] = put(database, [made], group)
    if look is not None:
        seen = {"action": one, "person": by, "opened_at": at + timedelta(seconds=look), "band": 0, **UNDECIDED}
        database.write(lambda s: s.execute(insert(Look), [seen]))
    return one


def kept(database: Database, rules: PolicySet, call: Call, *, session_known: bool = True, **otherwise: Any) -> str:
    """A call as it was judged by these rules."""
    name, asked = new_id("call"), replace(call, **otherwise)
    database.write(lambda s: keeping.keep(s, name, asked, rules.decide(asked), session_known=session_known))
    return name
