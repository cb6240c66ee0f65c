"""A connection's transitions: each a conditional UPDATE with its entry in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from vault.providers.catalogue import ProviderFacts
from webapp import audit
from webapp.connections import lookup, providers
from webapp.connections.rules import TRANSITIONS, ends_alone
from webapp.connections.tables import Connection, Revocation
from webapp.db.count import changed
from webapp.db.due import enqueue
from webapp.errors import BadInput, Conflict, said
from webapp.web.house import House
from webapp.web.viewer import Viewer

REVOKE = "broker.revoke"
END_TOKENS = "broker.end_tokens"
NAME_LENGTH = 60
SUSPENDED = "This account is suspended, because something may be compromised. An administrator can lift that."
AWAY = ("vault_away", "vault_sealed", "keeper_away")


def told(session: Session, connection: str) -> None:
    """Wake whoever waits for the owner's accounts: pages, and calls that want for an account."""
    person = session.scalar(select(Connection.person).where(Connection.id == connection))
    session.info.setdefault("topics", set()).add(lookup.topic(str(person)))


def change(
    session: Session, connection: str, *, to: str, actor: str, kind: str, now: datetime, before: Iterable[str] = (), **values: Any
) -> None:
    """Raises Conflict when the connection is in no state from which it may go there (or none of `before`): somebody was first."""
    states = list(before) or [state for state, after in TRANSITIONS.items() if to in after]
    done = session.execute(
        update(Connection).where(Connection.id == connection, Connection.status.in_(states), *_free(to))
        .values(status=to, status_at=now, **values),
        execution_options={"synchronize_session": "fetch"},
    )
    if changed(done) != 1:
        raise Conflict("This account has changed meanwhile. Look at it again.")
    told(session, connection)
    audit.append(session, kind=kind, actor=actor, subject=connection, detail={"status": to}, at=now)


def _free(to: str) -> tuple[ColumnElement[bool], ...]:
    """What an incident suspended does not become active by any other way than the incident's end."""
    return (Connection.suspended == "",) if to == "active" else ()


def pause(house: House, connection: Connection, viewer: Viewer) -> None:
    """From the next request on nothing uses it: the row refuses, and the keeper refuses. What was handed out before is ended
    where the provider can end one token alone. If the keeper is out of service, the row refuses alone, and the keeper is told
    when it is back."""
    now, facts = house.clock(), providers.find(house.settings, connection.provider)
    house.database.write(lambda s: paused(s, connection.id, f"person:{viewer.person}", now, facts))
    _tell(lambda: house.door.pause(connection=connection.id, person=connection.person))


def paused(session: Session, connection: str, actor: str, now: datetime, facts: ProviderFacts) -> None:
    """The row of it; the keeper is told by a due row, if by nobody else. Raises Conflict."""
    change(session, connection, to="paused", actor=actor, kind="connection.paused", now=now)
    end_tokens(session, connection, now, now, facts)


def end_tokens(session: Session, connection: str, at: datetime, now: datetime, facts: ProviderFacts) -> None:
    """Have tokens that nobody uses any more ended at the provider, from `at` on, until it has answered for good. Where it can end
    none alone the ledger says nothing of it."""
    session.execute(delete(Revocation).where(Revocation.subject == connection + lookup.TOKENS))
    if ends_alone(facts):
        session.add(Revocation(subject=connection + lookup.TOKENS, connection=connection, requested_at=now))
    enqueue(session, END_TOKENS, connection, at)


def tell_again(session: Session, connection: str, now: datetime) -> None:
    """The keeper may hold an account for usable that was suspended meanwhile: it is told once more."""
    enqueue(session, END_TOKENS, connection, now)


def resume(house: House, connection: Connection, viewer: Viewer) -> None:
    """Only from `paused`: an account that needs consent is not resumed but reconnected. The keeper is asked first: what the page
    then says is true of the keeper too. Raises Conflict and the keeper's errors."""
    if connection.suspended:
        raise Conflict(SUSPENDED)
    if connection.status != "paused":
        raise Conflict("This account has changed meanwhile. Look at it again.")
    house.door.resume(connection=connection.id, person=connection.person)
    actor, now = f"person:{viewer.person}", house.clock()
    house.database.write(lambda s: change(
        s, connection.id, to="active", actor=actor, kind="connection.resumed", now=now, before=("paused",)
    ))


def rename(session: Session, connection: str, name: str, actor: str, now: datetime) -> None:
    """`name` is the person's own, empty for none. Raises BadInput."""
    chosen = " ".join(name.split())
    if len(chosen) > NAME_LENGTH or not chosen.isprintable():
        raise BadInput(said("A name has at most %(most)s letters, all of which can be seen.", most=NAME_LENGTH))
    session.execute(update(Connection).where(Connection.id == connection).values(name=chosen))
    told(session, connection)
    audit.append(session, kind="connection.named", actor=actor, subject=connection, detail={"named": bool(chosen)}, at=now)


def prefer(session: Session, connection: Connection, actor: str, now: datetime) -> None:
    """Calls that do not say which account use this one from the next on. Raises Conflict for one that is disconnected."""
    lookup.alone(session, connection.person)
    others = (Connection.person == connection.person, Connection.provider == connection.provider, Connection.preferred)
    session.execute(update(Connection).where(*others).values(preferred=False))
    done = session.execute(
        update(Connection).where(Connection.id == connection.id, Connection.status != "disconnected").values(preferred=True)
    )
    if changed(done) != 1:
        raise Conflict("This account was disconnected meanwhile.")
    told(session, connection.id)
    detail = {"provider": connection.provider}
    audit.append(session, kind="connection.preferred", actor=actor, subject=connection.id, detail=detail, at=now)


def needs_consent(session: Session, connection: str, reason: str, now: datetime) -> None:
    """The keeper said that the provider's grant is over. Nothing happens to a connection that is already so, or disconnected."""
    row = session.get(Connection, connection)
    if row is not None and row.status in ("active", "paused"):
        change(
            session, connection, to="needs_consent", actor="system", kind="connection.needs_consent", now=now, reason=reason[:300]
        )


def end(session: Session, connection: str, actor: str, now: datetime) -> None:
    """Disconnected here, at once; the provider is told by the revocation ledger, until it confirms."""
    change(
        session, connection, to="disconnected", actor=actor, kind="connection.disconnected", now=now, ended_at=now,
        preferred=False,
    )
    session.add(Revocation(subject=connection, connection=connection, requested_at=now))
    enqueue(session, REVOKE, connection, now)


def disconnect(house: House, connection: Connection, viewer: Viewer) -> None:
    """Take an account back. From the moment this returns nothing of ours uses it: the row refuses, and the keeper refuses. If the
    keeper is out of service, the row refuses alone, and the ledger tells the keeper when it is back."""
    now = house.clock()
    house.database.write(lambda s: end(s, connection.id, f"person:{viewer.person}", now))
    _tell(lambda: house.door.disconnect(connection=connection.id, person=connection.person))


def _tell(keeper: Callable[[], None]) -> None:
    """A keeper that is out of service is told again by a due row."""
    try:
        keeper()
    except KeeperError as error:
        if error.code not in AWAY:
            raise
