"""The real parts, as production runs them: OpenBao, keeper, web process, a server of the MCP SDK; people, agents, accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests import keeper_parts, scripted_provider, small_idp
from tests.app_parts import Browser, PageKey, People
from tests.bench.http_client import Line, request
from tests.keeper_parts import PUBLIC_URL, ROOT, KeeperParts
from vault.secret import Secret
from webapp import serving
from webapp.clients.tables import Client
from webapp.composition import create_app
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.migrate import upgrade
from webapp.ids import new_id
from webapp.oauth import grants, tokens
from webapp.oauth.tables import AccessToken
from webapp.people import cookies
from webapp.policy import active
from webapp.registry import fetch, seed
from webapp.registry.rules import Approval
from webapp.web.house import House

HOST = "localhost:8000"
SCOPES = ("accounts:read", "payees:read", "payments:send")
TOOLS = {
    "get_balance": Approval("read", provider="harbour", scopes=("accounts:read",)),
    "send_payment": Approval("money", provider="harbour", scopes=("payments:send",), pointers={
        "amount": {"pointer": "/amount", "unit": "major"}, "currency": {"pointer": "/currency"},
        "recipient": {"pointer": "/iban", "kind": "iban"},
    }),
}
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"


@dataclass
class Agent:
    """Somebody's agent, with its access token, and the account it acts for."""

    person: str
    client: str
    grant: str
    token: str
    connection: Connection

    def call(self, tool: str, arguments: dict[str, str]) -> bytes:
        """The same request for the gateway and, with another address and token, for the server itself."""
        return tool_call("/mcp/bank", HOST, self.token, tool, arguments)


def tool_call(target: str, host: str, token: str, tool: str, arguments: dict[str, str]) -> bytes:
    who = {"name": "bench", "version": "1"}
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientInfo": who, f"{META}clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": meta}}
    return request("POST", target, {
        "Host": host, "Authorization": f"Bearer {token}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }, json.dumps(body).encode())


@dataclass
class Scene:
    keeper: KeeperParts
    house: House
    people: People
    upstream: int
    """The server's port."""
    web: subprocess.Popen[bytes] | None = None
    port: int = 0
    browsers: dict[str, Browser] = field(default_factory=dict)

    def browser(self, name: str, groups: Sequence[str] = ("user",)) -> Browser:
        """Somebody who is really signed in, with a passkey."""
        if name not in self.browsers:
            self.browsers[name] = self.people(name, groups=groups)
        return self.browsers[name]

    def cookie(self, name: str) -> str:
        """What their browser would send to the web process: it is the same house."""
        browser = self.browser(name)
        browser.token()
        found = (browser.get_cookie(one) for one in (cookies.SESSION, cookies.FORM))
        return "; ".join(f"{one.key}={one.value}" for one in found if one is not None)

    def passkey(self, name: str) -> PageKey:
        return self.people.passkeys[self.browser(name).person]

    def connect(self, person: str, bank: scripted_provider.Scripted) -> Connection:
        """An account at the scripted provider, its tokens in the vault."""
        door, connection = self.house.door, new_id("con")
        redirect = f"{PUBLIC_URL}/connections/callback"
        begun = door.connect_begin(provider="harbour", person=person, redirect_uri=redirect, scopes=list(SCOPES))
        made = door.connect_finish(
            connection=connection, person=person, sealed=begun.sealed, state=begun.state, code=Secret("code"), iss=bank.url
        )
        now = self.house.clock()
        row = Connection(
            id=connection, person=person, provider="harbour", account=made.account, label=made.label, scopes=list(made.scopes),
            status="active", connected_at=now, created_at=now,
        )
        self.house.database.write(lambda s: s.add(row))
        return row

    def agent(self, name: str, bank: scripted_provider.Scripted) -> Agent:
        person, now, raw = self.browser(name).person, self.house.clock(), tokens.new(tokens.ACCESS)
        client = Client(id=new_id("cli"), kind="agent", name="Bench", redirect_uris=["http://localhost/cb"], created_at=now)

        def write(session: object) -> str:
            session.add(client)  # type: ignore[attr-defined]
            session.flush()  # type: ignore[attr-defined]
            resource = f"{PUBLIC_URL}/mcp/bank"
            grant = grants.consent(session, person=person, client=client, resource=resource, scopes=["mcp"], now=now)  # type: ignore[arg-type]
            until = now + timedelta(hours=12)
            session.add(AccessToken(hash=tokens.digest(raw), grant=grant, created_at=now, expires_at=until))  # type: ignore[attr-defined]
            return grant

        grant = self.house.database.write(write)
        return Agent(person, client.id, grant, raw, self.connect(person, bank))

    def start_web(self) -> None:
        """One gunicorn gevent worker with the worker's loop in it, as `counterseal up` starts it."""
        self.port = free_port()
        environment = {
            **os.environ, "COUNTERSEAL_INSTANCE": str(self.house.settings.instance), "COUNTERSEAL_PUBLIC_URL": PUBLIC_URL,
            "COUNTERSEAL_APPROVALS__QUICK_ROW": "0",
            "COUNTERSEAL_DATABASE_URL": self.house.database.url, serving.WORKER_LOOP: "1", "PYTHONUNBUFFERED": "1",
        }
        log = (self.house.settings.instance / "web.log").open("ab")
        self.web = subprocess.Popen(
            serving.command([f"127.0.0.1:{self.port}"]), env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        keeper_parts.until(self._answers, "the web process answers")

    def _answers(self) -> bool:
        try:
            line = Line(self.address)
        except OSError:
            return False
        try:
            return line.ask(request("GET", "/healthz", {"Host": HOST}))[0] == 200
        except OSError:
            return False
        finally:
            line.close()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def straight(self) -> tuple[str, int]:
        return ("127.0.0.1", self.upstream)

    def stop(self) -> None:
        if self.web is not None:
            self.web.terminate()
            self.web.wait(20)


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def process(module: str, *arguments: str) -> Iterator[int]:
    """A process of ours that prints its port."""
    started = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, cwd=ROOT)
    assert started.stdout is not None
    try:
        yield json.loads(started.stdout.readline())
    finally:
        started.terminate()
        started.wait(10)
        started.stdout.close()


@contextmanager
def scene() -> Iterator[tuple[Scene, scripted_provider.Scripted]]:
    """Everything but the web process, which is started when the database is as it should be."""
    with ExitStack() as stack:
        keeper = stack.enter_context(keeper_parts.serve(evaluation=True))
        bank = stack.enter_context(scripted_provider.serve())
        idp = stack.enter_context(small_idp.serve())
        port = stack.enter_context(process("tests.bench.upstream"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=database_folder())))
        settings = Settings(
            public_url=PUBLIC_URL, instance=keeper.instance, database_url=f"sqlite:///{folder / 'bench.sqlite'}"
        )
        settings.web.sign_ins_per_minute = 100_000  # all of them from one address
        settings.approvals.quick_row = 0  # nobody asks a bench to type an amount
        house = House(settings, Database(settings.database), keeper.door, lambda: datetime.now(UTC))
        upgrade(house.database)
        app = create_app(house)
        app.test_client_class = Browser
        made = Scene(keeper, house, People(app, idp), port)
        _plant(made, bank)
        try:
            yield made, bank
        finally:
            made.stop()
            house.database.close()


def database_folder() -> str | None:
    """On a disk, not in memory: a commit must cost what it costs."""
    return os.environ.get("BENCH_FOLDER") or None


def _plant(made: Scene, bank: scripted_provider.Scripted) -> None:
    made.house.door.provider_put("harbour", bank.record())
    url = f"http://127.0.0.1:{made.upstream}/mcp"
    keeper_parts.until(lambda: _listens(made.upstream), "the server listens")
    listed = fetch.list_tools(url, None)
    made.house.database.write(lambda s: seed.put(
        s, name="bank", url=url, title="Harbour Bank", provider="harbour", listed=listed, approvals=TOOLS, now=made.house.clock()
    ))
    active.at_start(made.house)


def _listens(port: int) -> bool:
    try:
        Line(("127.0.0.1", port)).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True
