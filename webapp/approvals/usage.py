"""What was used already: caps, and recipients that a person approved before. Values for policy."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, String, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from webapp.approvals.lookalike import lookalike_of
from webapp.approvals.tables import Action, KnownRecipient, Usage
from webapp.db.direct import Direct, Made, Where, direct, session_of
from webapp.db.once import insert_once
from webapp.ids import new_id
from webapp.policy import calls

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
COMPARED = 500
"""Known recipients that a new one is compared with: the ones used last."""
SHOWN = 160


@dataclass(frozen=True)
class Used:
    """What policy and page know of before. Amounts are minor units of the base currency."""

    calls_last_hour: int = 0
    base_minor_last_day: int = 0
    """By this person."""
    account_base_minor_last_day: int = 0
    recipient_base_minor_last_day: int = 0
    approved_before: int = 0
    """How often a person approved a call to this recipient from this account, and it was done."""
    up_to_minor: int = 0
    """The largest amount that was approved then."""
    lookalike_of: str = ""
    """The known recipient that this new one could be mistaken for."""

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def for_policy(self) -> calls.Usage:
        known = {one.name for one in fields(calls.Usage)}
        return calls.Usage(**{name: value for name, value in asdict(self).items() if name in known})


@dataclass(frozen=True)
class Call:
    """What a call counts as. `recipient` is in policy's normal form, `recipient_shown` as written; None where a tool has none."""

    person: str
    connection: str | None
    client: str
    server: str
    tool: str
    recipient: str | None = None
    recipient_shown: str = ""
    minor: int | None = None
    currency: str | None = None
    base_minor: int | None = None


def key(recipient: str | None) -> str:
    """What a recipient is counted under; empty for none. Spellings were made one by policy, and no further: two strangers must
    never become one recipient."""
    return hashlib.sha256(recipient.encode()).hexdigest() if recipient else ""


# Asked and written in every call: made once, so that SQLAlchemy neither builds nor hashes them again. Each is answered from an
# index alone.
_counts = (Usage.at > bindparam("since")) & (Usage.state != "released")
_others = Usage.action.is_(None) | (Usage.action != bindparam("excluding"))
_sum = select(func.sum(Usage.base_minor)).where(_counts, Usage.base_minor.is_not(None))


ALONE = Made(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("person", type_=String), 7))))


def one_at_a_time(session: Where, person: str) -> None:
    """Before caps are read in the transaction that acts on them. SQLite has one writer; on PostgreSQL one person's calls are
    judged one after the other."""
    on = direct(session)
    if on.dialect.name == "postgresql":
        on.rows(ALONE, {"person": person})


def _both(statement: Select[Any]) -> tuple[Made, Made]:
    """Of all, and of all but one action's own."""
    return Made(statement), Made(statement.where(_others))


CALLS = _both(select(func.count()).select_from(Usage).where(Usage.person == bindparam("person"), _counts))
BY_PERSON = _both(_sum.where(Usage.person == bindparam("person")))
BY_ACCOUNT = _both(_sum.where(Usage.connection == bindparam("connection")))
TO_RECIPIENT = _both(_sum.where(Usage.recipient == bindparam("recipient"), Usage.person == bindparam("person")))
INSERT = Made(insert(Usage.__table__), tuple(Usage.__table__.columns.keys()))  # type: ignore[arg-type]


def facts(session: Where, call: Call, now: datetime, *, excluding: str | None = None) -> Used:
    """What counts already when this call is judged. `excluding` leaves out one action's own reservation, for judging it again."""
    known = _known(session, call)
    on = direct(session)
    asked = {
        "person": call.person, "connection": call.connection, "recipient": key(call.recipient), "excluding": excluding,
        "since": now - DAY,
    }
    return Used(
        calls_last_hour=_total(on, CALLS, {**asked, "since": now - HOUR}),
        base_minor_last_day=_total(on, BY_PERSON, asked),
        account_base_minor_last_day=_total(on, BY_ACCOUNT, asked) if call.connection else 0,
        recipient_base_minor_last_day=_total(on, TO_RECIPIENT, asked) if call.recipient else 0,
        approved_before=known.times if known else 0,
        up_to_minor=known.up_to_base_minor if known else 0,
        lookalike_of="" if known or not call.recipient else _lookalike(session, call),
    )


def _total(on: Direct, of: tuple[Made, Made], asked: dict[str, Any]) -> int:
    row = on.row(of[asked["excluding"] is not None], asked)
    return int((row and row[0]) or 0)


def record(session: Where, call: Call, now: datetime) -> None:
    """Count an allowed call; in the transaction that allows it."""
    direct(session).run(INSERT, _values(call, now, state="committed", action=None))


def reserve(session: Session, call: Call, action: str, now: datetime) -> None:
    """Count a held call; in the transaction that holds it."""
    session.add(Usage(**_values(call, now, state="reserved", action=action)))


def commit(session: Session, action: str, now: datetime) -> None:
    """It is about to run: from here on it counts at this time."""
    session.execute(
        update(Usage).where(Usage.action == action, Usage.state == "reserved").values(state="committed", at=now)
    )


def release(session: Session, action: str) -> None:
    """Only on proof that nothing ran."""
    session.execute(update(Usage).where(Usage.action == action).values(state="released"))


def remember_recipient(
    session: Session, action: Action, *, recipient: str | None, shown_as: str, base_minor: int | None, now: datetime
) -> None:
    """A person approved it and it was done: the recipient is known, up to this amount."""
    if not recipient:
        return
    where = {"person": action.person, "connection": action.connection or "", "server": action.server, "recipient": key(recipient)}
    first = insert_once(
        session, KnownRecipient, id=new_id("rcp"), shown_as=shown_as[:SHOWN], up_to_base_minor=base_minor or 0, times=1,
        first_at=now, last_at=now, **where,
    )
    if first:
        return
    row = session.scalars(select(KnownRecipient).filter_by(**where).with_for_update()).one()
    row.times += 1
    row.last_at = now
    row.up_to_base_minor = max(row.up_to_base_minor, base_minor or 0)


def _values(call: Call, now: datetime, *, state: str, action: str | None) -> dict[str, Any]:
    return {
        "id": new_id("use"), "action": action, "person": call.person, "connection": call.connection or "",
        "recipient": key(call.recipient), "client": call.client, "server": call.server, "tool": call.tool, "minor": call.minor,
        "currency": call.currency, "base_minor": call.base_minor, "state": state, "at": now,
    }


def _known(session: Where, call: Call) -> KnownRecipient | None:
    if not call.recipient:
        return None
    return session_of(session).scalar(select(KnownRecipient).filter_by(
        person=call.person, connection=call.connection or "", server=call.server, recipient=key(call.recipient)
    ))


def _lookalike(session: Where, call: Call) -> str:
    names = session_of(session).scalars(
        select(KnownRecipient.shown_as).filter_by(person=call.person, server=call.server)
        .order_by(KnownRecipient.last_at.desc()).limit(COMPARED)
    )
    return lookalike_of(call.recipient_shown or call.recipient or "", names) or ""
