"""What was used already: caps, and recipients that a person approved before. Values for policy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, String, bindparam, func, insert, literal, select, update
from sqlalchemy.orm import Session

from webapp.approvals.lookalike import lookalike_of
from webapp.approvals.tables import Action, KnownRecipient, Usage
from webapp.db.direct import Direct, Made, Where, direct, session_of
from webapp.db.once import insert_once
from webapp.ids import new_id
from webapp.policy import calls, counters
from webapp.policy.counters import Counter

COMPARED = 500
"""Known recipients that a new one is compared with: the ones used last."""
SHOWN = 160


@dataclass(frozen=True)
class Used:
    """What policy and page know of before. Amounts are minor units of the base currency."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """By name (`policy.counters`): those that were asked for, which are those that the active rules read."""
    approved_before: int = 0
    """How often a person approved a call to this recipient from this account, and it was done."""
    up_to_minor: int = 0
    """The largest amount that was approved then."""
    lookalike_of: str = ""
    """The known recipient that this new one could be mistaken for."""

    def document(self) -> dict[str, Any]:
        return {
            **self.counts, "approved_before": self.approved_before, "up_to_minor": self.up_to_minor,
            "lookalike_of": self.lookalike_of,
        }

    def for_policy(self) -> calls.Usage:
        return calls.Usage(
            counts=self.counts, approved_before=self.approved_before, up_to_minor=self.up_to_minor, lookalike_of=self.lookalike_of
        )


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
    judged one after the other. Who also locks rows of actions does that after this: a call that changes recipients is judged
    first and then voids what waits, and two who lock in two orders wait for each other."""
    on = direct(session)
    if on.dialect.name == "postgresql":
        on.rows(ALONE, {"person": person})


def _both(statement: Select[Any]) -> tuple[Made, Made]:
    """Of all, and of all but one action's own."""
    return Made(statement), Made(statement.where(_others))


_person = Usage.person == bindparam("person")
WHOSE: dict[str, tuple[ColumnElement[bool], ...]] = {
    "": (_person,),
    "agent_": (_person, Usage.client == bindparam("client")),
    "account_": (Usage.connection == bindparam("connection"),),
    "recipient_": (Usage.recipient == bindparam("recipient"), _person),
    "tool_": (_person, Usage.server == bindparam("server"), Usage.tool == bindparam("tool")),
}
_calls = select(func.count()).select_from(Usage).where(_counts)
COUNTED: dict[tuple[str, str], tuple[Made, Made]] = {
    **{(subject, "calls"): _both(_calls.where(*whose)) for subject, whose in WHOSE.items()},
    **{(subject, "base_minor"): _both(_sum.where(*whose)) for subject, whose in WHOSE.items()},
}
INSERT = Made(insert(Usage.__table__), tuple(Usage.__table__.columns.keys()))  # type: ignore[arg-type]
GIVE_BACK = Made(
    update(Usage).where(Usage.id == bindparam("one"), Usage.action.is_(None)).values(state=literal("released", String))
)


def facts(
    session: Where, call: Call, now: datetime, *, excluding: str | None = None, wanted: Iterable[str] = counters.SHIPPED
) -> Used:
    """What counts already when this call is judged. `excluding` leaves out one action's own reservation, for judging it again.
    `wanted`: the names of the counters that somebody reads (`PolicySet.counted`); each costs one look into an index."""
    known = _known(session, call)
    on = direct(session)
    asked = {
        "person": call.person, "connection": call.connection, "recipient": key(call.recipient), "client": call.client,
        "server": call.server, "tool": call.tool, "excluding": excluding,
    }
    return Used(
        counts={name: _count(on, counters.COUNTERS[name], call, asked, now) for name in sorted(wanted)},
        approved_before=known.times if known else 0,
        up_to_minor=known.up_to_base_minor if known else 0,
        lookalike_of="" if known or not call.recipient else _lookalike(session, call),
    )


def _count(on: Direct, counter: Counter, call: Call, asked: dict[str, Any], now: datetime) -> int:
    """Nothing is counted of an account or a recipient that a call does not have."""
    if (counter.subject == "account_" and not call.connection) or (counter.subject == "recipient_" and not call.recipient):
        return 0
    since = now - timedelta(seconds=counter.seconds)
    return _total(on, COUNTED[counter.subject, counter.kind], {**asked, "since": since})


def _total(on: Direct, of: tuple[Made, Made], asked: dict[str, Any]) -> int:
    row = on.row(of[asked["excluding"] is not None], asked)
    return int((row and row[0]) or 0)


def record(session: Where, call: Call, now: datetime, name: str = "") -> None:
    """Count an allowed call; in the transaction that allows it. `name` is its id for `give_back`."""
    direct(session).run(INSERT, _values(call, now, state="committed", action=None) | ({"id": name} if name else {}))


def give_back(session: Where, name: str) -> None:
    """An allowed call of which it is proven that nothing ran."""
    direct(session).run(GIVE_BACK, {"one": name})


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
