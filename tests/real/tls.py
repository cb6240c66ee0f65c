"""A web process of one's own on a real keeper, with TLS ended in it or in front of it, and clients that speak TLS by hand."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from tests.clock import Clock
from tests.csr import new_key, private_pem, write_pair
from tests.keeper_parts import ROOT, KeeperParts, until
from tests.real.running import CLI
from tests.token_client import TokenClientParts
from tests.webapp.oauth.conftest import put_person, put_server
from webapp.clients.tables import Client
from webapp.config import Settings
from webapp.db import Database
from webapp.db.migrate import upgrade
from webapp.oauth import tokens
from webapp.oauth.tables import AccessToken, Grant
from webapp.policy import active
from webapp.web.house import House


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class OverUnix(http.client.HTTPConnection):
    """HTTP to a unix socket, over TLS where there is a context."""

    def __init__(self, path: Path, context: ssl.SSLContext | None = None) -> None:
        super().__init__("localhost", timeout=30)
        self.path, self.context = path, context

    def connect(self) -> None:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(30)
        try:
            plain.connect(str(self.path))
            self.sock = self.context.wrap_socket(plain, server_hostname="localhost") if self.context else plain
        except OSError:
            plain.close()
            raise


@dataclass
class Web:
    """A running web process. `house` is the tests' own, on its database and its keeper, for registering and looking."""

    house: House
    folder: Path
    address: tuple[str, int] | Path
    tls: bool = True

    def context(self, client: TokenClientParts | None = None, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client brings to the handshake: its own certificate, another pair of files, or nothing."""
        made = ssl.create_default_context(cafile=str(self.folder / "server.pem"))
        chosen = pair or (write_pair(self.folder, client.id, client.key, client.pem) if client else None)
        if chosen:
            made.load_cert_chain(*chosen)
        return made

    def send(
        self, method: str, path: str, body: bytes | None = None, *, context: ssl.SSLContext | None = None, **headers: str
    ) -> Answer:
        """One request on a connection of its own. Raises ssl.SSLError or OSError where the handshake was ended."""
        context = context or (self.context() if self.tls else None)
        connection: http.client.HTTPConnection
        if isinstance(self.address, Path):
            connection = OverUnix(self.address, context)
        elif context:
            connection = http.client.HTTPSConnection(*self.address, context=context, timeout=30)
        else:
            connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Host": self.house.settings.netloc, **named})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def ask(self, fields: dict[str, str] | None = None, **more: Any) -> Answer:
        """The smallest request that needs a client's proof."""
        body = urlencode({"token": "csa_x", **(fields or {})}).encode()
        return self.send("POST", "/oauth/introspect", body, Content_Type="application/x-www-form-urlencoded", **more)

    def bound(self, client: TokenClientParts) -> str:
        """An access token of a person's for the bank behind the gateway, bound to the client's certificate."""
        now, raw = self.house.clock(), tokens.new(tokens.ACCESS)
        grant = Grant(
            id=f"grant_{client.id}", person="per_alice", client=client.id, resource=f"{self.house.settings.public_url}/mcp/bank",
            scopes=["mcp"], created_at=now, consented_at=now,
        )
        token = AccessToken(
            hash=tokens.digest(raw), grant=grant.id, created_at=now, expires_at=now + timedelta(hours=1),
            confirmation=client.thumbprint,
        )
        self.house.database.write(lambda s: (s.add(grant), s.flush(), s.add(token)))
        return raw

    def initialize(self, raw: str, **more: Any) -> Answer:
        """The first request of an MCP client at the gateway."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"},
        }}).encode()
        return self.send(
            "POST", "/mcp/bank", body, Content_Type="application/json", Accept="application/json, text/event-stream",
            Authorization=f"Bearer {raw}", **more,
        )

    def known(self, client_id: str) -> bool:
        with self.house.database.read() as session:
            return session.get(Client, client_id) is not None


def server_certificate(folder: Path) -> tuple[Path, Path]:
    """A server's own, for `localhost`, which its clients are told to believe."""
    key, now = new_key(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(private_pem(key))
    return folder / "server.pem", folder / "server.key"


def furnish(folder: Path, parts: KeeperParts, public_url: str) -> House:
    """A database with a server and a person in it, and active rules."""
    settings = Settings(instance=folder, public_url=public_url, door_socket=parts.door.socket)
    house = House(settings, Database(settings.database), parts.door)
    upgrade(house.database)
    house.database.write(lambda s: (put_server(s, Clock()), put_person(s, Clock(), "per_alice", "Alice")))
    active.at_start(house)
    return house


@contextmanager
def serving(house: House, words: Sequence[str], listening: Sequence[socket.socket] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """`counterseal serve WORDS`."""
    settings, log = house.settings, house.settings.instance / "log"
    environment = {
        **os.environ, "COUNTERSEAL_INSTANCE": str(settings.instance), "COUNTERSEAL_PUBLIC_URL": settings.public_url,
        "COUNTERSEAL_DOOR_SOCKET": str(settings.socket),
    }
    for one in listening:
        one.set_inheritable(True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*CLI, "serve", *words], cwd=ROOT, env=environment, pass_fds=[one.fileno() for one in listening],
            stdout=output, stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        house.database.close()


def answers(web: Web, process: subprocess.Popen[bytes], log: str = "log", seconds: float = 90.0) -> None:
    """Wait until it serves."""

    def up() -> bool:
        assert process.poll() is None, (web.folder / log).read_text()
        try:
            return web.send("GET", "/healthz").status == 200
        except OSError:
            return False

    try:
        until(up, "the process serves", seconds)
    except TimeoutError:
        print((web.folder / log).read_text())
        raise
