"""An app with one upstream server behind it, and agents who may call it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.app_parts import PUBLIC_URL, Browser, People
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.webapp.gateway.peers import Peer, RawServer, sdk_server
from webapp.audit.tables import Entry
from webapp.clients.tables import Client
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db import Base, Database
from webapp.gateway.negotiation import Target
from webapp.gateway.room import Room
from webapp.oauth import grants, tokens
from webapp.oauth.tables import AccessToken
from webapp.people.tables import Person
from webapp.policy import active
from webapp.registry import seed
from webapp.registry.rules import Approval
from webapp.web.house import House

MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
CLASSES = {
    "echo": Approval("read"), "add": Approval("read"), "fail": Approval("read"), "tell": Approval("read"),
    "routed": Approval("read"), "ask": Approval("read"), "destroy_all": Approval("destroy"),
}


@dataclass
class Agent:
    """A client with a token of its own, at one server. `person` is whose agent it is."""

    app: Flask
    person: str
    client: str
    grant: str
    token: str
    server: str = "peer"
    capabilities: dict[str, Any] = field(default_factory=dict)
    session: str | None = None

    def modern(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Answer:
        """One request of 2026-07-28, headers and all. `more`: id, meta, headers, buffered."""
        meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": self.capabilities, **more.get("meta", {})}
        full = {**(params or {}), "_meta": meta}
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        name = full.get("taskId") if method.startswith("tasks/") else full.get("name")
        if name is not None:
            headers["Mcp-Name"] = str(name)
        body = {"jsonrpc": "2.0", "id": more.get("id", 1), "method": method, "params": full}
        return self.post(json.dumps(body).encode(), {**headers, **more.get("headers", {})}, more.get("buffered", True))

    def call(self, tool: str, arguments: dict[str, Any], **more: Any) -> Answer:
        params = {"name": tool, "arguments": arguments, **more.pop("params", {})}
        return self.modern("tools/call", params, **more)

    def initialize(self, version: str = "2025-11-25", capabilities: dict[str, Any] | None = None) -> Answer:
        params = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = self.legacy("initialize", params)
        self.session = answer.headers.get("Mcp-Session-Id")
        return answer

    def legacy(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Answer:
        body = {"jsonrpc": "2.0", "id": more.get("id", 1), "method": method, "params": params or {}}
        headers = {"Mcp-Session-Id": self.session} if self.session else {}
        return self.post(json.dumps(body).encode(), {**headers, **more.get("headers", {})}, more.get("buffered", True))

    def post(self, raw: bytes, headers: dict[str, str], buffered: bool = True) -> Answer:
        standard = {
            "Authorization": f"Bearer {self.token}", "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }
        given = {name: value for name, value in {**standard, **headers}.items() if value is not None}
        client = FlaskClient(self.app, use_cookies=False)
        return Answer(client.post(f"/mcp/{self.server}", data=raw, headers=given, base_url=PUBLIC_URL, buffered=buffered))


class Answer:
    """What came back: JSON, or the messages of a stream."""

    def __init__(self, response: TestResponse) -> None:
        self.response = response
        self.status, self.headers = response.status_code, response.headers

    @property
    def stream(self) -> bool:
        return self.headers.get("Content-Type", "").startswith("text/event-stream")

    @property
    def messages(self) -> list[dict[str, Any]]:
        if not self.stream:
            return [json.loads(self.response.data)]
        lines = self.response.text.splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    @property
    def body(self) -> dict[str, Any]:
        return self.messages[-1]

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.body, self.body
        found: dict[str, Any] = self.body["result"]
        return found

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.body, self.body
        found: dict[str, Any] = self.body["error"]
        return found

    @property
    def text(self) -> str:
        found: str = self.result["content"][0]["text"]
        return found


@dataclass
class World:
    """`agent("ada")` signs a person in and gives them an agent with a token."""

    house: House
    app: Flask
    people: People | None = None
    browsers: dict[str, Browser] = field(default_factory=dict)
    url: str = PUBLIC_URL

    @property
    def room(self) -> Room:
        found: Room = self.app.extensions["gateway"]
        return found

    def browser(self, person: str, **more: Any) -> Browser:
        """Really signed in."""
        assert self.people is not None
        if person not in self.browsers:
            self.browsers[person] = self.people(person, **more)
        return self.browsers[person]

    def person(self, name: str) -> str:
        """The id of somebody who signed in once, or seems to have."""
        if name in self.browsers:
            return self.browsers[name].person
        person, now = f"per_{name}", self.house.clock()
        self.house.database.write(lambda s: s.merge(Person(
            id=person, issuer="https://idp.example", subject=name, name=name.title(), email=f"{name}@example.com",
            groups=["user"], created_at=now, seen_at=now, tries=0,
        )))
        return person

    def agent(
        self, person: str = "ada", server: str = "peer", resource: str = PUBLIC_URL, *, client: str = "", **capabilities: Any
    ) -> Agent:
        """`client`: one that has a name of its own is another agent, or the same at another server."""
        whose, now = self.person(person), self.house.clock()
        client, raw = client or f"client_{person}_{server}", tokens.new(tokens.ACCESS)

        def write(session: Any) -> str:
            made = session.get(Client, client)
            if made is None:
                made = Client(id=client, kind="agent", name="Test agent", redirect_uris=["http://localhost/cb"], created_at=now)
                session.add(made)
                session.flush()
            at = f"{resource}/mcp/{server}"
            grant = grants.consent(session, person=whose, client=made, resource=at, scopes=["mcp"], now=now)
            session.add(AccessToken(hash=tokens.digest(raw), grant=grant, created_at=now, expires_at=now.replace(year=2999)))
            return grant

        grant = self.house.database.write(write)
        return Agent(self.app, whose, client, grant, raw, server, capabilities)

    def put(self, url: str, classes: dict[str, Approval], name: str = "peer") -> None:
        """Register a server, and approve these of its tools as they are listed now."""
        listed = self.room.upstreams.list_tools(Target(url, "admin"))
        known = {tool: approval for tool, approval in classes.items() if tool in {one["name"] for one in listed}}
        self.house.database.write(lambda s: seed.put(
            s, name=name, url=url, title=name.title(), listed=listed, approvals=known, now=self.house.clock(),
        ))

    def until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end
            time.sleep(0.1)

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        with self.house.database.read() as session:
            rows = session.scalars(select(Entry).order_by(Entry.id)).all()
        return [json.loads(row.body) for row in rows if not kinds or row.kind in kinds]


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    with sdk_server("modern") as running:
        yield running


def opened(house: House, people: People | None = None, app: Flask | None = None) -> World:
    """The app, its policies active; waiting is short here."""
    gateway = house.settings.gateway
    short: Any = 0.3
    gateway.wait_leg, gateway.wait_legacy, gateway.ping_every, gateway.upstream_timeout = short, short, 1, 20
    active.at_start(house)
    return World(house, app or create_app(house), people)


@pytest.fixture
def world(house: House, app: Flask, signed_in: People) -> Iterator[World]:
    made = opened(house, signed_in, app)
    yield made
    made.room.upstreams.close()


@pytest.fixture
def behind(world: World, peer: Peer) -> World:
    """The world with the SDK's server behind it, its tools approved."""
    world.put(peer.url, CLASSES)
    return world


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, keeper_session: KeeperParts, peer: Peer) -> Iterator[World]:
    """A world for many tests of what is stateless: on SQLite, with the SDK's server behind it."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('one') / 'one.sqlite'}")
    Base.metadata.create_all(database.engine)
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url)
    made = opened(House(settings, database, keeper_session.door, Clock()))
    made.put(peer.url, CLASSES)
    yield made
    made.room.upstreams.close()
    database.close()


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    running: list[RawServer] = []

    def start(answer: Any, pieces: int = 1 << 20) -> RawServer:
        running.append(RawServer(answer, pieces))
        return running[-1]

    yield start
    for one in running:
        one.close()


