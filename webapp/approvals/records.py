"""What this instance remembers of a recipient, tool, account and agent: context for whoever decides.

None of it is in the document that is signed: it is read from the database, and whoever can write there could change it. The page
shows it apart from the facts and says so, and nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from webapp.approvals import ranking
from webapp.approvals.envelope import Document
from webapp.approvals.page import amount_of
from webapp.approvals.tables import Action, KnownRecipient, Usage
from webapp.approvals.usage import key

COUNTED = 100
"""Calls are counted up to here: beyond it a page need not know."""


@dataclass(frozen=True)
class Known:
    """A recipient whom a person approved before, from this account. The last amount is of the last call to them that was held and
    done."""

    times: int
    first_at: datetime
    last_at: datetime
    minor: int | None = None
    currency: str = ""


@dataclass(frozen=True)
class Usual:
    """The median of the last done calls of the same kind in this currency, and how many times that this one is."""

    minor: int
    currency: str
    samples: int
    times: Decimal


@dataclass(frozen=True)
class Records:
    """Counts are of calls before this one, by this person's clients; 100 stands for more too."""

    recipient: Known | None
    tool: int
    """Of this tool by this agent."""
    account: int
    """With this account by this agent."""
    agent: int
    """Of anything by this agent."""
    usual: Usual | None
    zone: str
    """Of the requester."""


def gather(session: Session, action: Action, document: Document, zone: str) -> Records:
    envelope = document.envelope
    mine = (Usage.person == envelope["principal"]["person"], Usage.client == envelope["client"]["id"])
    tool = (Usage.server == envelope["server"]["name"], Usage.tool == envelope["tool"]["name"])
    account = envelope["connection"]
    return Records(
        recipient=_known(session, action, document),
        tool=_times(session, action, *mine, *tool),
        account=_times(session, action, *mine, Usage.connection == account["id"]) if account else 0,
        agent=_times(session, action, *mine),
        usual=usual(document, _amounts(session, action, document)), zone=zone,
    )


def usual(document: Document, earlier: Sequence[int]) -> Usual | None:
    """None where too few are known to say what is usual. `earlier`: amounts in this currency, in its minor units."""
    amount, middle = amount_of(document) or {}, ranking.middle(earlier)
    if amount.get("status") != "ok" or middle is None:
        return None
    times = (Decimal(amount["minor"]) / middle).quantize(Decimal("0.1"))
    return Usual(middle, amount["currency"], len(earlier), times)


def _known(session: Session, action: Action, document: Document) -> Known | None:
    if not document.recipient:
        return None
    person, account = _whose(document)
    row = session.scalar(select(KnownRecipient).filter_by(
        person=person, connection=account or "", server=action.server, recipient=key(document.recipient)
    ))
    if row is None:
        return None
    last = session.execute(
        select(Action.amount_minor, Action.currency).filter_by(
            person=person, server=action.server, connection=account, recipient=action.recipient, state="done"
        ).where(Action.id < action.id, Action.amount_minor.is_not(None)).order_by(Action.id.desc()).limit(1)
    ).first()
    return Known(row.times, row.first_at, row.last_at, last[0] if last else None, (last[1] or "") if last else "")


def _times(session: Session, action: Action, *which: ColumnElement[bool]) -> int:
    """Committed ones before this was asked, and none of its own."""
    others = or_(Usage.action.is_(None), Usage.action != action.id)
    some = select(Usage.id).where(*which, others, Usage.state == "committed", Usage.at <= action.created_at).limit(COUNTED)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _whose(document: Document) -> tuple[str, str | None]:
    """Person and account. By the document: a decoy's row is nobody's."""
    account = document.envelope["connection"]
    return document.parties.principal, account["id"] if account else None


def _amounts(session: Session, action: Action, document: Document) -> Sequence[int]:
    return ranking.earlier(session, _whose(document)[0], action.server, action.tool, action.currency, action.id)
