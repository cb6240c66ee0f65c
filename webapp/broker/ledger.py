"""The revocation ledger: what a provider answered to one request to end something, and when to ask again. Pure rule, small
writes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from vault.door import Revoked
from webapp import audit
from webapp.connections.tables import Revocation
from webapp.db.count import changed

FIRST = 2
"""Seconds until the second try; doubled each time."""

EXPIRED = "expired"
"""The keeper's detail where all that is asked to be ended has ended by its own lifetime: nothing is urgent any more."""
DAILY = timedelta(days=1)


def next_try(tries: int, now: datetime, longest: int) -> datetime:
    """`longest` in seconds."""
    return now + timedelta(seconds=min(longest, FIRST << min(tries, 20)))


def note(session: Session, subject: str, answer: Revoked, now: datetime, longest: int) -> datetime | None:
    """Write down what the provider answered: when to ask again, or None when that was its last word. What is settled stays so."""
    settled = now if answer.outcome != "pending" else None
    done = session.execute(
        update(Revocation).where(Revocation.subject == subject, Revocation.state == "pending")
        .values(state=answer.outcome, detail=answer.detail[:200], tries=Revocation.tries + 1, tried_at=now, settled_at=settled),
        execution_options={"synchronize_session": "fetch"},
    )
    if changed(done) != 1:
        return None
    if settled is not None:
        audit.append(
            session, kind="revocation.settled", actor="system", subject=subject, detail={"outcome": answer.outcome}, at=now
        )
        return None
    row = session.get(Revocation, subject)
    if answer.detail == EXPIRED:
        return now + max(DAILY, timedelta(seconds=longest))
    return next_try(row.tries if row is not None else 0, now, longest)
