"""A house as it stands in production: PostgreSQL, OpenBao and the keeper, an identity provider, an account provider whose refresh
tokens rotate, two web processes, two workers, and MCP servers behind them. Nothing of it is an evaluation instance.

Web processes and workers are processes of `counterseal serve` and `counterseal worker`; tests kill, freeze and restart them.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, select
from sqlalchemy.engine import Engine

from tests.keeper_parts import PUBLIC_URL, ROOT, KeeperParts, until
from tests.keeper_parts import serve as serve_keeper
from tests.oidc_provider import CLIENT, SECRET, Provider
from tests.oidc_provider import serve as serve_oidc
from tests.processes import free_port
from tests.real.running import CLI, PATIENCE, Running, command, short_folder, start
from tests.real.trust import certify, trusted
from tests.real.visitor import Agent, Visitor
from webapp.approvals.tables import Action
from webapp.audit.tables import Entry
from webapp.people.sign_in import CALLBACK
from webapp.people.tables import Person

SILENCE = 5
"""Seconds after which an execution without a heartbeat is uncertain, here."""
LEDGER = "ledger"
READ, PAY = "books:read", "books:pay"
CATALOGUE = f"""
title: Ledger House
kind: oauth
iss: true
narrows: true
base_scopes: [openid]
revoke_effect: grant
refresh_kills_previous: false
scopes:
  "{READ}": {{words: See the books, effect: read}}
  "{PAY}": {{words: Pay from the books, effect: money}}
"""
POLICY = """
@id("ops-looks")
@hold("approvers=ops factor=passkey")
@reason("Somebody from ops has to look at this")
forbid (principal, action == Action::"call", resource == Tool::"everything/get-sum");
"""
PEOPLE = {"ada": ["admin", "audit"], "jonas": ["finance", "ops"], "mira": [], "nora": [], "alice": [], "olga": ["ops"]}


@dataclass
class Standing:
    """`web` and `worker` are lists of running processes, as many as `ports`, which are those of the web processes."""

    keeper: KeeperParts
    database_url: str
    sso: Provider
    accounts: Provider
    ports: tuple[int, ...]
    tls: dict[str, str]
    """Files with which a server is believed here: `key`, `certificate`."""
    workers: int = 1
    """Of each web process."""
    web: list[Running] = field(default_factory=list)
    worker: list[Running] = field(default_factory=list)
    visitors: dict[str, Visitor] = field(default_factory=dict)
    agents: dict[tuple[str, str], Agent] = field(default_factory=dict)
    _engine: Engine | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "COUNTERSEAL_INSTANCE": str(self.keeper.instance), "COUNTERSEAL_PUBLIC_URL": PUBLIC_URL,
            "COUNTERSEAL_DATABASE_URL": self.database_url, "COUNTERSEAL_APPROVALS__SILENCE": str(SILENCE),
            "COUNTERSEAL_APPROVALS__HEARTBEAT": "1", "COUNTERSEAL_GATEWAY__UPSTREAM_TIMEOUT": "6",
            "COUNTERSEAL_OAUTH__ACCESS_LIFETIME": "86400", "PYTHONUNBUFFERED": "1",
            # Visitors are programs: they approve within a second of looking, one after the other.
            "COUNTERSEAL_APPROVALS__QUICK_ROW": "0",
        }

    def command(self, *words: str) -> str:
        return command(*words, environment=self.environment).stdout

    @property
    def engine(self) -> Engine:
        """For reading, and for writing what an attacker with the database could."""
        if self._engine is None:
            self._engine = create_engine(self.database_url)
        return self._engine

    def log(self, name: str) -> Path:
        return self.keeper.instance / f"{name}.log"

    def start_web(self, number: int) -> None:
        words = [*CLI, "serve", "--bind", f"127.0.0.1:{self.ports[number]}", "--workers", str(self.workers)]
        self.web[number:number + 1] = [start(words, self.log(f"web{number}"), self.environment)]

    def start_worker(self, number: int) -> None:
        self.worker[number:number + 1] = [start([*CLI, "worker"], self.log(f"worker{number}"), self.environment)]

    def mend(self) -> None:
        """Start again what a test killed, stopped or sealed, and wait until everything answers."""
        self.keeper.mend()
        for number in range(len(self.ports)):
            if number >= len(self.web) or self.web[number].process.poll() is not None:
                self.start_web(number)
            if number >= len(self.worker) or self.worker[number].process.poll() is not None:
                self.start_worker(number)
        for port in self.ports:
            until(lambda port=port: health(port) == 200, f"the web process at {port} answers", PATIENCE)

    def visitor(self, name: str) -> Visitor:
        """A person who is signed in, with a passkey of more than a day."""
        if name not in self.visitors:
            made = self.visitors[name] = Visitor(self.ports[0])
            made.sign_in(self.sso, name)
            with self.engine.connect() as database:
                made.person = database.execute(select(Person.id).where(Person.subject == name)).scalar_one()
            self.age(made.person)
        return self.visitors[name]

    def age(self, person: str) -> None:
        """A day passes for the person's factors: new ones approve nothing."""
        keeper = self.keeper.inside()

        def older(data: Any) -> Any:
            factors = [
                {**one, "created_at": (datetime.fromisoformat(one["created_at"]) - timedelta(hours=25)).isoformat()}
                for one in data["factors"]
            ]
            return {**data, "factors": factors}, None

        keeper.kv.update(f"people/{person}/factors", older)

    def agent(self, owner: str, server: str) -> Agent:
        """A connected agent of this person's."""
        if (owner, server) not in self.agents:
            made = Agent(self.visitor(owner), server, self.ports[0])
            made.connect()
            self.agents[owner, server] = made
        return self.agents[owner, server]

    def process_at(self, port: int) -> Running:
        """Which of ours has the connection with this local port."""
        for running in (*self.web, *self.worker):
            whole = psutil.Process(running.pid)
            for one in (whole, *whole.children(recursive=True)):
                if any(found.laddr.port == port for found in one.net_connections("tcp") if found.status != psutil.CONN_LISTEN):
                    return running
        raise AssertionError(f"nobody has port {port}")

    def state(self, action: str) -> str:
        with self.engine.connect() as database:
            return database.execute(select(Action.state).where(Action.id == action)).scalar_one()

    def becomes(self, action: str, *states: str) -> str:
        """Wait until the action is in one of these states."""
        until(lambda: self.state(action) in states, f"{action} is {' or '.join(states)}, not {self.state(action)}", PATIENCE)
        return self.state(action)

    def held(self, server: str) -> list[str]:
        """The actions at this server that wait for a decision."""
        with self.engine.connect() as database:
            return list(database.scalars(select(Action.id).where(Action.server == server, Action.state == "held")))

    def next_held(self, server: str, before: Sequence[str] = ()) -> str:
        """The one action that is held and was not among those `before`, which other tests left waiting."""
        until(lambda: len(set(self.held(server)) - set(before)) == 1, f"one more action at {server} is held", PATIENCE)
        return (set(self.held(server)) - set(before)).pop()

    def entries(self, subject: str) -> list[str]:
        """What the log says of something, in order."""
        with self.engine.connect() as database:
            return list(database.scalars(select(Entry.kind).where(Entry.subject == subject).order_by(Entry.id)))

    def add_server(self, name: str, url: str, tools: dict[str, list[str]]) -> None:
        """As an admin does on a command line: `tools` are the options of `server approve`."""
        self.command("server", "add", name, url)
        for tool, how in tools.items():
            self.command("server", "approve", name, tool, "--yes", *how)

    def logs(self) -> str:
        """The ends of all logs: for a test that failed."""
        files = sorted({running.log for running in (*self.web, *self.worker)} | {self.keeper.log})
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-2500:]}" for file in files)

    def close(self) -> None:
        for running in (*self.web, *self.worker):
            running.stop()
        if self._engine is not None:
            self._engine.dispose()


def health(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/healthz", headers={"Host": PUBLIC_URL.removeprefix("http://")})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@contextmanager
def standing(
    database_url: str, processes: int = 2, *, workers: int = 1, keeper: Callable[[], Any] = serve_keeper,
    others: Sequence[str] = (),
) -> Iterator[Standing]:
    """Set up as the handbook says: vault and keeper, `db upgrade`, `policy activate`, the identity provider, a provider; so many
    web processes, of so many `workers` each, and as many processes for what is due. `others` may sign in too."""
    with ExitStack() as stack:
        tls = certify(stack.enter_context(short_folder("cs-tls-")))
        stack.enter_context(trusted(tls["certificate"]))
        parts = stack.enter_context(keeper())
        known = {**PEOPLE, **{name: [] for name in others}}
        people = {name: {"groups": groups, "name": name.title()} for name, groups in known.items()}
        sso = stack.enter_context(serve_oidc([PUBLIC_URL + CALLBACK], people=people, tls=tls))
        accounts = stack.enter_context(serve_oidc([f"{PUBLIC_URL}/connections/callback"], scopes=[READ, PAY], tls=tls))
        made = Standing(parts, database_url, sso, accounts, tuple(free_port() for _ in range(processes)), tls, workers)
        stack.callback(made.close)
        for folder in ("providers", "policies"):
            (parts.instance / folder).mkdir()
        (parts.instance / "providers" / f"{LEDGER}.yaml").write_text(CATALOGUE)
        (parts.instance / "policies" / "90-ops.cedar").write_text(POLICY)
        made.command("db", "upgrade")
        made.command("policy", "activate")
        parts.door.idp_put("main", sso.record(scopes=["profile", "email"], groups_claim="groups"))
        add_provider(made)
        made.mend()
        yield made


def add_provider(made: Standing) -> None:
    secret, where = made.keeper.instance / "client-secret", made.accounts.issuer
    secret.write_text(SECRET)
    made.command(
        "provider", "add", LEDGER, "--client-id", CLIENT, "--client-secret-file", str(secret), "--issuer", where,
        "--authorize-url", f"{where}/auth", "--token-url", f"{where}/token", "--revoke-url", f"{where}/token/revocation",
        "--userinfo-url", f"{where}/me",
    )
    secret.unlink()


@contextmanager
def everything() -> Iterator[str]:
    """npm's reference MCP server, over Streamable HTTP: its address."""
    port = free_port()
    script = ROOT / "tests" / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    process = subprocess.Popen(
        ["node", str(script), "streamableHttp"], env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: listening(port), "the reference server listens", PATIENCE)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait(10)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

