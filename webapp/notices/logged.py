"""What the log says happened to a person's sign-in, factors, agents and accounts; and which incidents concern whom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from webapp.approvals.tables import ActionGroup
from webapp.audit.tables import Entry
from webapp.connections.tables import Connection
from webapp.incidents.rules import GLASS
from webapp.incidents.tables import IncidentNotice
from webapp.notices.listening import GROUP, Everyone
from webapp.notices.rules import Kind
from webapp.people.tables import Session as SignedIn

DONE = frozenset({
    "session.opened", "factor.added", "factor.removed", "recovery.made", "recovery.used", "delegation.made", "oauth.consented",
    "connection.connected", "channel.added", "channel.renewed", "readmission.used",
})
"""Whoever the entry says did this is told: it may have been somebody else in their place."""
NAMED: Mapping[str, tuple[str, ...]] = {
    "session.ended": ("person",), "delegation.made": ("to",), "delegation.ended": ("by", "to"), "person.linked": ("persons",),
    "person.unlinked": ("persons",), "agent.reported": ("person",), "agent.resumed": ("person",),
    **dict.fromkeys(("readmission.started", "readmission.agreed", "readmission.by_operator", "readmission.ended"), ("person",)),
}
"""The persons under these names in the entry's detail are told of what another did."""
ADMINS = frozenset({"readmission.started", "person.not_me"})
"""Administrators are told as well: a second one is asked for, or somebody says that something was not them."""
ACCOUNTS = frozenset({"connection.needs_consent", "connection.key_reminder"})
OPENED = "incident.opened"
TOLD = frozenset({*DONE, *NAMED, *ADMINS, *ACCOUNTS, OPENED})

Line = Row[str, str, str, str, bytes]


def entries(session: Session, after: str, until: str, most: int) -> Sequence[Line]:
    """Those of these kinds, by the primary key's range: the index by kind would lead through every sign-in there ever was, and is
    not used of what a function makes."""
    asked = select(Entry.id, Entry.kind, Entry.actor, Entry.subject, Entry.body).where(
        Entry.id > after, Entry.id <= until, func.lower(Entry.kind).in_(sorted(TOLD))
    )
    return session.execute(asked.order_by(Entry.id).limit(most)).all()


def concerned(session: Session, line: Line, everyone: Everyone) -> Iterator[tuple[str, Kind]]:
    """Whom of those who listen an entry concerns, and how."""
    detail = json.loads(line.body).get("detail") or {}
    if line.kind == OPENED:
        for whom in _incident(session, line, detail, everyone):
            yield whom, "incident"
        return
    told = set(everyone.near((), _persons(session, line, detail)))
    if line.kind in ADMINS:
        told |= {one.whom for one in everyone.admins} - {line.actor.removeprefix("person:")}
    for whom in sorted(told):
        yield whom, "security"


def _persons(session: Session, line: Line, detail: Mapping[str, Any]) -> Iterable[str]:
    actor = line.actor.removeprefix("person:")
    if line.kind in ACCOUNTS:
        owner = session.scalar(select(Connection.person).where(Connection.id == line.subject))
        return [owner] if owner else []
    named = {one for name in NAMED.get(line.kind, ()) for one in _texts(detail.get(name))} - {actor}
    if line.kind not in DONE or (line.kind == "session.opened" and _usual(session, line.subject)):
        return named
    return {actor, *named}


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _usual(session: Session, opened: str) -> bool:
    """Whether this person signed in with such a browser before. To be told each morning of one's own sign-in teaches nobody to
    look."""
    row = session.get(SignedIn, opened)
    if row is None:
        return False
    before = select(SignedIn.id).where(
        SignedIn.person == row.person, SignedIn.browser == row.browser, SignedIn.created_at < row.created_at
    )
    return session.scalar(before.limit(1)) is not None


def _incident(session: Session, line: Line, detail: Mapping[str, Any], everyone: Everyone) -> set[str]:
    """Those who are told on the pages, and admins; of a broken glass also the groups that would have decided."""
    persons = session.scalars(select(IncidentNotice.person).where(IncidentNotice.incident == line.subject)).all()
    found = {*everyone.near((), persons), *(one.whom for one in everyone.admins)}
    if detail.get("kind") == GLASS:
        names = session.scalars(select(ActionGroup.name).where(ActionGroup.action == str(detail.get("about")))).all()
        found |= {whom for whom in everyone.near(names, ()) if whom.startswith(GROUP)}
    return found - {line.actor.removeprefix("person:")}
