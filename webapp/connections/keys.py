"""API keys, for services that have no OAuth: pasted on a page of ours, kept by the keeper, replaced in place.

The key itself passes through here once, in a `Secret`, and is neither logged, stored nor shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from vault.door import KeyStored
from vault.errors import Stale
from vault.providers.catalogue import ProviderFacts
from vault.secret import Secret
from webapp import audit
from webapp.connections import lookup, providers, states, suspension
from webapp.connections.connecting import begun
from webapp.connections.rules import Allowed, allowed
from webapp.connections.tables import Connection
from webapp.db.count import changed
from webapp.db.due import Due, enqueue
from webapp.errors import BadInput, Conflict, said
from webapp.ids import new_id
from webapp.web.house import House
from webapp.web.viewer import Viewer

REMIND = "connections.key_reminder"
LABEL_LENGTH = 60
WARNED = timedelta(days=14)
"""Before the last day of a key."""
OVER = "The key has passed the last day that you gave for it. Nothing can use this account until you replace it."


@dataclass(frozen=True)
class Form:
    """The page that takes a key: a new one, or one in the place of `row`'s."""

    facts: ProviderFacts
    row: Connection | None
    can: list[Allowed]


@dataclass(frozen=True)
class Pasted:
    """What the page sends. `until` is the last day (YYYY-MM-DD) or empty."""

    provider: str
    connection: str
    key: Secret[str]
    label: str
    until: str


@dataclass(frozen=True)
class Age:
    """How old a key is, in whole days; `late`: it is time to replace it; `until` is the last day that was given for it."""

    row: Connection
    facts: ProviderFacts
    days: int
    late: bool
    until: datetime | None


def address(house: House, viewer: Viewer, provider: str, connection: str) -> str:
    """The page that takes this service's key, or nothing where there is none. Raises Missing."""
    if connection:
        with house.database.read() as session:
            provider = lookup.own(session, connection, viewer.person).provider
    if providers.find(house.settings, provider).kind != "key":
        return ""
    return f"/connections/keys/{connection}" if connection else f"/connections/keys/new?provider={provider}"


def form(house: House, viewer: Viewer, *, provider: str, connection: str) -> Form:
    """Raises BadInput, Missing."""
    row = None
    if connection:
        with house.database.read() as session:
            row = lookup.own(session, connection, viewer.person)
        if row.status == "disconnected":
            raise BadInput("This account was disconnected. Connect it anew.")
        provider = row.provider
    facts = providers.find(house.settings, provider)
    if facts.kind != "key":
        raise BadInput("This service is not one of keys.")
    return Form(facts, row, allowed(facts, facts.scopes))


def put(house: House, viewer: Viewer, pasted: Pasted) -> Connection:
    """Raises BadInput, Missing, Stale, Conflict while something is suspended, and the keeper's errors.

    1. what was pasted is looked at, all but the key; 2. that a key is about to be stored is written down; 3. the keeper takes it;
    4. the row and its entry are written. If the process dies between 3 and 4, a due row has the key that nobody knows of ended.
    """
    shown = form(house, viewer, provider=pasted.provider, connection=pasted.connection)  # 1
    label, ends = _label(pasted.label, shown), _last(pasted.until, house.clock())
    name = shown.row.id if shown.row is not None else new_id("con")
    house.database.write(lambda s: _begun(s, name, viewer, shown, house.clock()))  # 2
    stored = house.door.key_put(  # 3
        connection=name, person=viewer.person, provider=shown.facts.name, key=pasted.key, label=label, expires_at=ends
    )
    try:
        return house.database.write(lambda s: _store(s, viewer, name, shown.facts, stored, ends, house.clock()))  # 4
    except Conflict:
        house.database.write(lambda s: states.tell_again(s, name, house.clock()))
        raise


def _label(given: str, shown: Form) -> str:
    label = " ".join(given.split()) or (shown.row.label if shown.row is not None else shown.facts.title)
    if len(label) > LABEL_LENGTH or not label.isprintable():
        raise BadInput(said("A name has at most %(most)s letters, all of which can be seen.", most=LABEL_LENGTH))
    return label


def _last(given: str, now: datetime) -> datetime | None:
    """The end of the last day, in UTC."""
    if not given:
        return None
    try:
        ends = datetime.combine(date.fromisoformat(given), time(23, 59, 59), UTC)
    except ValueError as error:
        raise BadInput("The last day is a date, as in 2030-01-31.") from error
    if ends <= now:
        raise BadInput("The last day has passed already.")
    return ends


def _begun(session: Session, name: str, viewer: Viewer, shown: Form, now: datetime) -> None:
    suspension.refuse(session, viewer.person, shown.facts.name)
    detail = {"provider": shown.facts.name, "scopes": sorted(shown.facts.scopes), "key": True}
    audit.append(session, kind="connection.begun", actor=f"person:{viewer.person}", subject=name, detail=detail, at=now)
    begun(session, name, viewer.person, now)


def _store(
    session: Session, viewer: Viewer, name: str, facts: ProviderFacts, stored: KeyStored, ends: datetime | None, now: datetime
) -> Connection:
    lookup.alone(session, viewer.person)
    suspension.refuse(session, viewer.person, facts.name)
    row = session.get(Connection, name)
    again = row is not None
    if row is None:
        others = lookup.at_provider(session, viewer.person, facts.name)
        row = Connection(
            id=name, person=viewer.person, provider=facts.name, created_at=now, last_used_at=None, ended_at=None,
            preferred=not any(other.preferred for other in others),
        )
        session.add(row)
    elif row.status == "disconnected":
        raise Stale("disconnected meanwhile", hint="This account was disconnected meanwhile. Connect it anew.")
    row.account, row.label, row.scopes = stored.account, stored.label, sorted(stored.scopes)
    row.status, row.reason, row.connected_at, row.status_at = "active", "", now, now
    row.key_until, row.key_reminded_at = ends, None
    session.flush()
    states.told(session, name)
    detail = {"provider": facts.name, "account": row.account, "scopes": row.scopes, "again": again, "key": True}
    audit.append(session, kind="connection.connected", actor=f"person:{viewer.person}", subject=name, detail=detail, at=now)
    enqueue(session, REMIND, name, _time_to_replace(row, facts))
    return row


def _time_to_replace(row: Connection, facts: ProviderFacts) -> datetime:
    """When the catalogue's days are over, or some days before the last one that was given."""
    old = row.connected_at + timedelta(days=facts.rotate_days)
    return old if row.key_until is None else min(old, row.key_until - WARNED)


def age(row: Connection, facts: ProviderFacts, now: datetime) -> Age | None:
    """None for what is no key, or no more. Pure."""
    if facts.kind != "key" or row.status == "disconnected":
        return None
    return Age(row, facts, (now - row.connected_at).days, now >= _time_to_replace(row, facts), row.key_until)


def late(house: House, viewer: Viewer) -> Sequence[Age]:
    """The person's keys that it is time to replace, the oldest first."""
    with house.database.read() as session:
        rows = session.scalars(
            select(Connection).where(Connection.person == viewer.person, Connection.status != "disconnected")
            .order_by(Connection.connected_at)
        ).all()
    ages = (age(row, providers.find(house.settings, row.provider), house.clock()) for row in rows)
    return [one for one in ages if one is not None and one.late]


def remind(house: House, due: Due) -> datetime | None:
    """Due when it is time to replace a key, and again when its last day is over. Whoever replaced it made it young again."""
    return house.database.write(lambda s: _remind(s, house, due.key, house.clock()))


def _remind(session: Session, house: House, name: str, now: datetime) -> datetime | None:
    row = session.get(Connection, name)
    if row is None or row.status == "disconnected":
        return None
    facts = providers.find(house.settings, row.provider)
    when = _time_to_replace(row, facts)
    if now < when:
        return when
    fresh = (Connection.id == name, Connection.connected_at == row.connected_at, Connection.key_reminded_at.is_(None))
    done = session.execute(
        update(Connection).where(*fresh).values(key_reminded_at=now), execution_options={"synchronize_session": False}
    )
    if changed(done) == 1:
        detail = {"provider": row.provider, "days": (now - row.connected_at).days}
        audit.append(session, kind="connection.key_reminder", actor="system", subject=name, detail=detail, at=now)
        states.told(session, name)
    if row.key_until is None:
        return None
    if now >= row.key_until:
        states.needs_consent(session, name, OVER, now)
        return None
    return row.key_until
