"""What a server offers an agent: its approved tools, by the class that an admin gave them, where it is behind the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.clients import lookup, overview, permissions
from webapp.clients.overview import MayAsk
from webapp.config import Settings
from webapp.oauth import metadata
from webapp.registry import pins
from webapp.registry.pins import PinnedTool, ToolRefused
from webapp.registry.tables import Server


@dataclass(frozen=True)
class Outside:
    """A token client's own MCP endpoint: whose, where, and what it may ask for of the accounts that people let it use."""

    client: str
    url: str
    asks: tuple[MayAsk, ...]


@dataclass(frozen=True)
class Offer:
    """`outside` is None for a server behind the gateway; for any other, its tools are not known here."""

    name: str
    title: str
    tools: tuple[PinnedTool, ...] = field(repr=False)
    outside: Outside | None = None


def find(session: Session, name: str) -> Offer | None:
    """The server, or None when it is not known or is paused."""
    try:
        server = pins.server(session, name)
        return Offer(server.name, server.title, tuple(pins.approved(session, name)))
    except ToolRefused:
        return None


def outside(session: Session, settings: Settings, resource: str) -> Offer | None:
    """The token client whose own endpoint the resource is, or None when there is none or it is paused or revoked."""
    client = lookup.by_resource(session, resource)
    if client is None or client.status != "active":
        return None
    asks = overview.asks(permissions.of(session, client.id).values(), settings)
    return Offer("", client.name, (), Outside(client.id, resource, asks))


def titles(session: Session, settings: Settings, resources: Iterable[str]) -> dict[str, str]:
    """The titles of the servers behind these resources, paused ones too; what is gone is not in it."""
    asked = list(resources)
    names = {metadata.server_of(settings, each): each for each in asked}
    rows = session.execute(select(Server.name, Server.title).where(Server.name.in_([name for name in names if name])))
    return lookup.resource_names(session, asked) | {names[row.name]: row.title for row in rows}
