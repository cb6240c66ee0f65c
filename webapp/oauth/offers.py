"""What a server behind the gateway offers an agent: its approved tools, by the class that an admin gave them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import Settings
from webapp.oauth import metadata
from webapp.registry import pins
from webapp.registry.pins import PinnedTool, ToolRefused
from webapp.registry.tables import Server


@dataclass(frozen=True)
class Offer:
    name: str
    title: str
    tools: tuple[PinnedTool, ...] = field(repr=False)


def find(session: Session, name: str) -> Offer | None:
    """The server, or None when it is not known or is paused."""
    try:
        server = pins.server(session, name)
        return Offer(server.name, server.title, tuple(pins.approved(session, name)))
    except ToolRefused:
        return None


def titles(session: Session, settings: Settings, resources: Iterable[str]) -> dict[str, str]:
    """The titles of the servers behind these resources, paused ones too; what is gone is not in it."""
    names = {metadata.server_of(settings, each): each for each in resources}
    rows = session.execute(select(Server.name, Server.title).where(Server.name.in_([name for name in names if name])))
    return {names[row.name]: row.title for row in rows}
