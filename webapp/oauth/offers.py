"""What a server behind the gateway offers an agent: its approved tools, by the class that an admin gave them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from webapp.registry import pins
from webapp.registry.pins import PinnedTool, ToolRefused


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
