"""People with accounts, an agent, a token client and calls that wait: something to lose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest
from flask import Flask
from sqlalchemy import select

from tests import token_parts
from tests.app_parts import Browser, People
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.scripted_provider import Scripted
from tests.scripted_provider import serve as scripted
from tests.token_parts import Desk
from tests.webapp.approvals.parts import Server, draft, held
from tests.webapp.registry.parts import put
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.incidents import opening, targets
from webapp.incidents.rules import Kind
from webapp.web.house import House


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> House:
    """In the keeper's own instance folder, for both to read one catalogue."""
    settings = Settings(instance=keeper.instance, public_url=PUBLIC_URL, database_url=database.url)
    settings.approvals.quick_row = 0  # the clock stands still here: every decision would be a quick one
    return House(settings, database, keeper.door, clock)


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.fixture
def server(app: Flask) -> Server:
    made = Server()
    app.extensions["approvals"] = made.handed
    return made


@dataclass
class Scene:
    """Ada has an account, an agent, a token client and a call that waits; Ruth is an admin."""

    house: House
    ada: Browser
    account: str
    desk: Desk
    subject: str
    waiting: str
    server: Server
    people: People

    @cached_property
    def ruth(self) -> Browser:
        """An admin, who signs in where a test needs her."""
        return self.people("ruth", groups=["admin"])

    def open(self, kind: Kind, name: str, actor: str = "cli", reason: str = "A laptop was stolen.") -> str:
        settings = self.house.settings
        return self.house.database.write(lambda s: opening.open_(
            s, settings, targets.find(s, settings, kind, name), reason=reason, actor=actor, now=self.house.clock()
        ))

    def subjects(self) -> dict[Kind, str]:
        """One of each kind that an incident can be about; Ada last, for what is hers is about her too. The server is put in."""
        self.house.database.write(lambda s: put(s, now=self.house.clock(), provider="harbour"))
        return {
            "client": self.desk.id, "connection": self.account, "server": "bank", "provider": "harbour",
            "person": self.ada.person,
        }

    def row(self) -> Connection:
        with self.house.database.read() as session:
            return session.get_one(Connection, self.account)

    def log(self) -> list[str]:
        with self.house.database.read() as session:
            return list(session.scalars(select(Entry.kind).order_by(Entry.id)))


@pytest.fixture
def scene(house: House, app: Flask, signed_in: People, provider: Scripted, server: Server) -> Scene:
    ada = signed_in("ada")
    account = token_parts.account(house, provider, ada.person)
    desk = token_parts.desk(house, app)
    token_parts.allow(house, desk, ada.person, account)
    subject = token_parts.agents_token(house, ada.person, f"{PUBLIC_URL}/mcp/bank")
    waiting = held(house, draft(house, ada.person))
    return Scene(house, ada, account, desk, subject, waiting, server, signed_in)
