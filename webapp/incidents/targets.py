"""What an incident can be about, found by the name that a person gives."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from vault.providers.catalogue import load
from webapp.clients import lookup as clients
from webapp.clients.tables import Client
from webapp.config import Settings
from webapp.connections import providers
from webapp.connections.tables import Connection, SuspendedProvider
from webapp.errors import BadInput, Missing, said
from webapp.incidents.rules import KINDS, Kind, Target
from webapp.people.tables import Person
from webapp.registry.tables import Server

NAME = 200
NONE = {
    "person": said("There is no such person."), "client": said("There is no such client."),
    "server": said("There is no such server."), "connection": said("There is no such connection."),
    "provider": said("There is no such provider."),
}


def kind_of(text: str) -> Kind:
    """Raises BadInput."""
    for kind in KINDS:
        if text == kind:
            return kind
    raise BadInput(said("Say what may be compromised: %(kinds)s.", kinds=", ".join(KINDS)))


def find(session: Session, settings: Settings, kind: Kind, name: str) -> Target:
    """By id; a person also by e-mail address, a server and a provider by name. Raises Missing, and BadInput where several persons
    have that address."""
    name = name.strip()
    if not name or len(name) > NAME:
        raise BadInput("Say which one: by its id, a person also by e-mail address, a server or provider by its name.")
    found = FIND[kind](session, settings, name)
    if found is None:
        raise Missing(NONE[kind])
    return found


def _person(session: Session, settings: Settings, name: str) -> Target | None:
    """Attack: somebody's identity provider says that their address is another's id: an id is that person's before all."""
    row = session.get(Person, name)
    if row is None:
        rows = session.scalars(select(Person).where(func.lower(Person.email) == name.lower()).limit(2)).all()
        if len(rows) > 1:
            raise BadInput("Several persons have this address. Name one by id.")
        row = rows[0] if rows else None
    return None if row is None else Target("person", row.id, row.name or row.email, row.id)


def _client(session: Session, settings: Settings, name: str) -> Target | None:
    row = session.get(Client, name)
    if row is None:
        return None
    registered = clients.token_client(session, row.id)
    return Target("client", row.id, row.name, registered.owner if registered is not None else "")


def _server(session: Session, settings: Settings, name: str) -> Target | None:
    row = session.scalar(select(Server).where(Server.name == name))
    return None if row is None else Target("server", row.name, row.title, "")


def _connection(session: Session, settings: Settings, name: str) -> Target | None:
    row = session.get(Connection, name)
    if row is None:
        return None
    return Target("connection", row.id, f"{providers.find(settings, row.provider).title}, {row.label}", row.person)


def _provider(session: Session, settings: Settings, name: str) -> Target | None:
    """One that accounts are connected at, or that the catalogue knows."""
    known = name in load(settings.instance, local=settings.evaluation)
    if not known and session.scalar(select(Connection.id).where(Connection.provider == name).limit(1)) is None:
        return None
    return Target("provider", name, providers.find(settings, name).title, "")


FIND = {"person": _person, "client": _client, "server": _server, "connection": _connection, "provider": _provider}


def suspended(session: Session, target: Target) -> str:
    """The incident that holds it now, or empty."""
    columns = {
        "person": select(Person.suspended).where(Person.id == target.id),
        "client": select(Client.suspended).where(Client.id == target.id),
        "server": select(Server.suspended).where(Server.name == target.id),
        "connection": select(Connection.suspended).where(Connection.id == target.id),
        "provider": select(SuspendedProvider.incident).where(SuspendedProvider.provider == target.id),
    }
    return session.scalar(columns[target.kind]) or ""


def choices(session: Session, settings: Settings, kind: Kind, limit: int = 200) -> list[tuple[str, str]]:
    """Names to choose from, and what they are called: the newest first, for a list on the page."""
    if kind == "person":
        people = session.execute(select(Person.id, Person.name, Person.email).order_by(Person.seen_at.desc()).limit(limit))
        return [(row.id, f"{row.name} ({row.email})" if row.email else row.name) for row in people]
    if kind == "client":
        found = session.execute(select(Client.id, Client.name, Client.kind).order_by(Client.id.desc()).limit(limit))
        return [
            (row.id, said("%(name)s (agent, %(id)s)", name=row.name, id=row.id[-6:])) if row.kind == "agent" else
            (row.id, said("%(name)s (token client, %(id)s)", name=row.name, id=row.id[-6:])) for row in found
        ]
    if kind == "server":
        return [(row.name, row.title) for row in session.execute(select(Server.name, Server.title).order_by(Server.title))]
    if kind == "connection":
        asked = (
            select(Connection.id, Connection.provider, Connection.label, Person.name)
            .join(Person, Person.id == Connection.person).where(Connection.status != "disconnected")
            .order_by(Connection.id.desc()).limit(limit)
        )
        rows = session.execute(asked)
        return [
            (row.id, said("%(provider)s, %(account)s, of %(owner)s", provider=providers.find(settings, row.provider).title,
                          account=row.label, owner=row.name)) for row in rows
        ]
    names = session.scalars(select(Connection.provider).distinct().order_by(Connection.provider))
    return [(name, providers.find(settings, name).title) for name in names]
