"""What counted before a call of the past, for rules that read a counter which nobody read then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import ColumnElement, bindparam, func, or_, select

from webapp.approvals.judged.tables import Judged
from webapp.approvals.tables import Usage
from webapp.db.direct import Direct, Made
from webapp.policy.counters import COUNTERS, Counter

OWN = Made(
    select(Usage.recipient).where(or_(Usage.id == bindparam("one"), Usage.action == bindparam("one"))).limit(1)
)
_person = Usage.person == bindparam("person")
_whose: dict[str, tuple[ColumnElement[bool], ...]] = {
    "": (_person,),
    "agent_": (_person, Usage.client == bindparam("client")),
    "account_": (Usage.connection == bindparam("connection"),),
    "recipient_": (Usage.recipient == bindparam("recipient"), _person),
    "tool_": (_person, Usage.server == bindparam("server"), Usage.tool == bindparam("tool")),
}
_then = (
    Usage.at > bindparam("since"), Usage.at < bindparam("until"), Usage.state != "released",
    Usage.id != bindparam("one"), or_(Usage.action.is_(None), Usage.action != bindparam("one")),
)
_made = {
    (subject, kind): Made(select(what).select_from(Usage).where(*whose, *_then))
    for subject, whose in _whose.items()
    for kind, what in (("calls", func.count()), ("base_minor", func.sum(Usage.base_minor)))
}


class Unknown(Exception):
    """It cannot be told: of a denied call nobody kept to whom it was."""


def counts(on: Direct, row: Judged, names: Iterable[str], to: str) -> dict[str, int]:
    """By name, from what was used and not given back: as it is known today. A held call counts at the time it ran. `to`: digest
    of its recipient, or empty."""
    return {name: _count(on, row, COUNTERS[name], to) for name in sorted(names)}


def about_recipient(names: Iterable[str]) -> bool:
    return any(COUNTERS[name].subject == "recipient_" for name in names)


def recipient(on: Direct, row: Judged) -> str:
    """The digest under which a call's recipient is counted. Raises Unknown for a call that was denied: nothing was counted."""
    found = on.row(OWN, {"one": row.id})
    if found is None:
        raise Unknown(row.id)
    return str(found[0])


def _count(on: Direct, row: Judged, counter: Counter, to: str) -> int:
    if (counter.subject == "account_" and not row.connection) or (counter.subject == "recipient_" and not to):
        return 0
    found = on.row(_made[counter.subject, counter.kind], {
        "one": row.id, "person": row.person, "client": row.client, "server": row.server, "tool": row.tool,
        "connection": row.connection, "recipient": to, "since": row.at - timedelta(seconds=counter.seconds), "until": row.at,
    })
    return int((found and found[0]) or 0)
