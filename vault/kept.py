"""Which tokens a connection's record keeps: of what an answer brought, and of those that the provider has yet to end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault.record import Answered, Ending, Live, Record, Status, fingerprint, noted
from vault.secret import Secret

LIVE_KEPT = 32
UNENDED_KEPT = 64
UNENDED = timedelta(days=7)
"""So many exclusive tokens, and so long beyond their own end, are kept until the provider has ended them: it may be away."""
ENDING_KEPT = 64
NAMES_KEPT = 1024
"""Of the tokens that are to be ended; of more than `ENDING_KEPT` only their names, so that nobody says that they were ended."""
ENDED_KEPT = 64
"""Names of the exclusive tokens that their provider confirmed last: who asks again, having died in between, hears the same."""


def fits(record: Record, answer: Answered) -> bool:
    """An answer counts exactly as long as the record holds the refresh token it was traded for: whoever came between has
    traded in a newer one. It is not applied twice."""
    return record.print == answer.used and all(live.ref != answer.live.ref for live in record.live)


def applied(record: Record, answer: Answered, now: datetime) -> Record:
    """The record after the answer. One that was given up because the answer was missing comes back; a disconnected one stays
    so, but learns the new refresh token, so that the provider can be told to end that one."""
    refresh = answer.refresh or record.refresh
    kept = () if answer.kills_previous else still(record.live, now)
    if not answer.live.exclusive:
        same = (answer.live.receiver, answer.live.asked)
        kept = tuple(live for live in kept if live.exclusive or (live.receiver, live.asked) != same)
    status: Status = "active" if record.status == "needs_consent" else record.status
    return replace(
        record, refresh=refresh, print=fingerprint(refresh), live=bounded((*kept, answer.live)), claim=None,
        renewals=record.renewals + 1,
        renewed_at=answer.at, retry_at=None, status=status, reason="" if status == "active" else record.reason,
        events=noted(record, "renewed", answer.at),
    )


def still(lives: Sequence[Live], now: datetime) -> tuple[Live, ...]:
    """Without those that are over by themselves. An exclusive one stays: its ledger waits for the provider's word."""
    return tuple(one for one in lives if one.alive(now, timedelta(0)) or (one.exclusive and one.alive(now - UNENDED)))


def bounded(lives: tuple[Live, ...]) -> tuple[Live, ...]:
    """The newest of each kind, in their order."""
    shared = [one.ref for one in lives if not one.exclusive][-LIVE_KEPT:]
    refs = {*shared, *[one.ref for one in lives if one.exclusive][-UNENDED_KEPT:]}
    return tuple(one for one in lives if one.ref in refs)


def to_end(record: Record, gone: Sequence[Ending]) -> tuple[Ending, ...]:
    """What is to be ended with these."""
    waiting = (*record.ending, *gone)[-NAMES_KEPT:]
    named = len(waiting) - ENDING_KEPT
    return tuple(replace(one, token=Secret("")) if at < named else one for at, one in enumerate(waiting))


def ended(record: Record, refs: Sequence[str]) -> tuple[str, ...]:
    """The names that are remembered once the provider has confirmed these."""
    return (*(one for one in record.ended if one not in refs), *refs)[-ENDED_KEPT:]


def given_up(record: Record, reason: str, what: str, at: datetime) -> Record:
    """The grant is over: no token is kept, only the fingerprint of the one that might yet turn out to have been traded in."""
    events = noted(record, what, at)
    return replace(
        record, status="needs_consent", reason=reason, refresh=None, live=(), claim=None, retry_at=None, events=events
    )
