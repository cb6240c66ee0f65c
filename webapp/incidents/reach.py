"""Which rows of each room an incident is about: conditions, asked by the dry run and by the real thing alike."""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, Text, and_, cast, false, or_, select
from sqlalchemy.orm import Session

from webapp.approvals.decoys import telling
from webapp.approvals.rules import WAITING
from webapp.approvals.tables import Action, Decision
from webapp.broker.tables import Lease
from webapp.clients.tables import TokenClient
from webapp.config import Settings
from webapp.connections.tables import Connection, ConnectionConsent
from webapp.incidents.rules import Target
from webapp.oauth.metadata import resource, server_of
from webapp.oauth.tables import Grant
from webapp.people.tables import Session as Browser
from webapp.registry.tables import Server, Tool

Where = ColumnElement[bool]


def connections(target: Target) -> Where:
    """The accounts that are suspended with it."""
    if target.kind == "person":
        return Connection.person == target.id
    if target.kind == "connection":
        return Connection.id == target.id
    return Connection.provider == target.id if target.kind == "provider" else false()


def sessions(target: Target) -> Where:
    mine: Where = Browser.person == target.id if target.kind == "person" else false()
    return and_(mine, Browser.ended_at.is_(None))


def grants(target: Target) -> Where:
    """What people allowed agents: it ends with the person or the agent. A grant for a server gives nothing while that is
    paused."""
    mine: Where = false()
    if target.kind in ("person", "client"):
        mine = (Grant.person if target.kind == "person" else Grant.client) == target.id
    return and_(mine, Grant.status == "active")


def allowed_there(session: Session, settings: Settings, target: Target) -> Where:
    """What people let agents do at a server, or at a token client that is one: it stays, and gives nothing for as long as that is
    suspended."""
    at = resource(settings, target.id) if target.kind == "server" else None
    if target.kind == "client":
        at = session.scalar(select(TokenClient.resource).where(TokenClient.client == target.id))
    return and_(false() if at is None else Grant.resource == at, Grant.status == "active")


def consents(target: Target) -> Where:
    """What people let token clients do with their accounts."""
    column = {
        "person": ConnectionConsent.person, "client": ConnectionConsent.client, "connection": ConnectionConsent.connection,
    }.get(target.kind)
    return and_(false() if column is None else column == target.id, ConnectionConsent.status == "active")


def leases(target: Target) -> Where:
    """Tokens handed out, over and not. An agent's are also those that a token client asked for in answer to its calls."""
    if target.kind == "person":
        return Lease.person == target.id
    if target.kind == "client":
        acted = cast(Lease.actors, Text).contains(json.dumps(target.id), autoescape=True)
        return or_(Lease.client == target.id, and_(Lease.server == target.id, Lease.consent != ""), acted)
    if target.kind == "server":
        return and_(Lease.server == target.id, Lease.consent == "")
    return Lease.connection.in_(select(Connection.id).where(connections(target)))


def actions(target: Target) -> Where:
    """Calls that were held, in whatever state; of a person also those that others asked for and this person said yes to. No
    decoys that are known to be one: what they name was neither used nor asked."""
    return and_(_reached(target), telling.alive_or_asked_for())


def _reached(target: Target) -> Where:
    if target.kind == "person":
        said = select(Decision.action).where(Decision.person == target.id, Decision.verdict != "reject")
        who = (Action.person, Action.owner, Action.agent_owner, Action.server_owner)
        return or_(*(column == target.id for column in who), Action.id.in_(said))
    if target.kind == "client":
        return or_(Action.client == target.id, Action.server == target.id)
    if target.kind == "server":
        return Action.server == target.id
    return Action.connection.in_(select(Connection.id).where(connections(target)))


def waiting(target: Target) -> Where:
    return and_(actions(target), Action.state.in_(WAITING))


def servers(session: Session, settings: Settings, target: Target) -> set[str]:
    """Names of the servers behind the gateway that it could use, or that can use it."""
    if target.kind == "server":
        return {target.id}
    if target.kind in ("person", "client"):
        resources = session.scalars(select(Grant.resource).where(grants(target)).distinct())
        return {name for each in resources if (name := server_of(settings, each)) is not None}
    providers = set(session.scalars(select(Connection.provider).where(connections(target)).distinct()))
    if target.kind == "provider":
        providers.add(target.id)
    theirs = None
    if target.kind == "connection":  # its owner reads this too: no name of a server that they allowed no agent to use
        allowed = select(Grant.resource).where(Grant.person == target.person, Grant.status == "active").distinct()
        theirs = {server_of(settings, each) for each in session.scalars(allowed)}
    tools = session.execute(
        select(Server.name, Tool.credential).join(Tool, Tool.server_id == Server.id)
        .where(Tool.status == "approved", Tool.credential.is_not(None))
    )
    return {
        name for name, credential in tools if credential["provider"] in providers and (theirs is None or name in theirs)
    }


def reachable(session: Session, settings: Settings, target: Target) -> Where:
    """The accounts that it could use: of a client or server those of the people who allowed it something, at the providers that
    the tools need."""
    if target.kind in ("person", "connection", "provider"):
        return and_(connections(target), Connection.status != "disconnected")
    names = servers(session, settings, target)
    needed = session.scalars(
        select(Tool.credential).join(Server, Server.id == Tool.server_id)
        .where(Server.name.in_(names), Tool.status == "approved", Tool.credential.is_not(None))
    )
    given = Grant.client == target.id if target.kind == "client" else Grant.resource == resource(settings, target.id)
    people = select(Grant.person).where(given, Grant.status == "active")
    agreed = select(ConnectionConsent.connection).where(consents(target))
    by_tools = and_(
        Connection.person.in_(people), Connection.provider.in_({one["provider"] for one in needed if one is not None}),
    )
    return and_(or_(by_tools, Connection.id.in_(agreed)), Connection.status != "disconnected")
