"""A token client with a certificate, one with a key, and a web process of ours that ends TLS: what the lease figures run on."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from tests import keeper_parts
from tests.bench.http_client import Address, Line, request
from tests.bench.scene import Agent, Scene, free_port
from tests.csr import write_pair
from tests.keeper_parts import ROOT
from tests.real.tls import server_certificate
from tests.token_client import TokenClientParts, with_certificate, with_key
from tests.token_parts import permit
from webapp import authority, serving
from webapp.clients.tables import Client
from webapp.config import Settings
from webapp.connections import consents
from webapp.oauth import grants, rfc8693, tokens
from webapp.oauth.tables import AccessToken
from webapp.serving import Tls
from webapp.web.house import House

SCOPE, RESOURCE = "accounts:read", "https://desk.example/mcp"
LEAD = 280
"""Seconds that a ready-made assertion is good for: we take no more than 300."""


@dataclass
class Desk:
    """What asks for tokens: `context` has its certificate where it has one."""

    parts: TokenClientParts
    subject: str
    address: Address
    context: ssl.SSLContext

    def line(self) -> Line:
        return Line(self.address, self.context)

    def asks(self) -> bytes:
        """A whole request. One with an assertion is good for one use."""
        now = int(self.parts.house.clock().timestamp())
        proof = {"client_id": self.parts.id} if self.parts.certified else self.parts.proof(exp=now + LEAD)
        return form(self.address, "/oauth/token", {
            "grant_type": rfc8693.GRANT, "subject_token": self.subject, "subject_token_type": rfc8693.ACCESS_TOKEN,
            "audience": "harbour", "scope": SCOPE, **proof,
        })


@dataclass
class Tokens:
    """`tls` are the words for gunicorn and `trusting` a client's context, for those that serve beside ours."""

    certified: Desk
    keyed: Desk
    tls: Tls
    trusting: ssl.SSLContext
    folder: Path


def form(address: Address, path: str, fields: Mapping[str, str], **headers: str) -> bytes:
    named = {"Host": f"localhost:{address[1]}", "Content-Type": "application/x-www-form-urlencoded", **headers}
    return request("POST", path, named, urlencode(fields).encode())


def given(answer: tuple[int, bytes]) -> None:
    """Raises RuntimeError unless it has a token."""
    if answer[0] != 200 or b"access_token" not in answer[1]:
        raise RuntimeError(f"answered {answer[0]}: {answer[1][:300]!r}")


@contextmanager
def token_scene(made: Scene, agent: Agent) -> Iterator[Tokens]:
    """On the scene's vault, keeper and database, with the worker's loop in it, as `counterseal up` starts it."""
    port, instance = free_port(), made.house.settings.instance
    settings = Settings(public_url=f"https://localhost:{port}", instance=instance, database_url=made.house.database.url)
    house = House(settings, made.house.database, made.house.door, made.house.clock)
    certificate, key = server_certificate(instance)
    tls = Tls(certificate, key, authority.write(settings))
    environment = {
        **os.environ, "COUNTERSEAL_INSTANCE": str(instance), "COUNTERSEAL_PUBLIC_URL": settings.public_url,
        "COUNTERSEAL_DATABASE_URL": settings.database, serving.WORKER_LOOP: "1",
        "COUNTERSEAL_CLIENTS__REQUESTS_PER_MINUTE": "1000000",  # the pace of one client is not what is measured
    }
    trusting = ssl.create_default_context(cafile=str(certificate))
    certified = _desk(with_certificate(house, "Certified Desk", resource=RESOURCE), agent, port, str(certificate))
    keyed = _desk(with_key(house, "Keyed Desk", resource=f"{RESOURCE}/keyed"), agent, port, str(certificate))
    with running(serving.command([f"127.0.0.1:{port}"], tls=tls), environment, port, instance / "tls.log"):
        keeper_parts.until(lambda: _answers(certified), "the web process ends TLS")
        yield Tokens(certified, keyed, tls, trusting, instance)


def _desk(parts: TokenClientParts, agent: Agent, port: int, server: str) -> Desk:
    """Registered for reading balances, allowed it by the agent's person, and called by their agent."""
    house, resource, raw = parts.house, parts.resource or "", tokens.new(tokens.ACCESS)
    now = house.clock()

    def work(session: object) -> None:
        permit(session, parts.id, "harbour", (SCOPE,))  # type: ignore[arg-type]
        consents.give(
            session, person=agent.person, client=parts.id, connection=agent.connection.id, scopes=(SCOPE,), kind="person", now=now  # type: ignore[arg-type]
        )
        caller = session.get_one(Client, agent.client)  # type: ignore[attr-defined]
        grant = grants.consent(session, person=agent.person, client=caller, resource=resource, scopes=["mcp"], now=now)  # type: ignore[arg-type]
        until = now + timedelta(hours=12)
        session.add(AccessToken(hash=tokens.digest(raw), grant=grant, created_at=now, expires_at=until))  # type: ignore[attr-defined]

    house.database.write(work)
    context = ssl.create_default_context(cafile=server)
    if parts.certified:
        context.load_cert_chain(*write_pair(house.settings.instance, parts.id, parts.key, parts.pem))
    return Desk(parts, raw, ("127.0.0.1", port), context)


def _answers(desk: Desk) -> bool:
    try:
        line = desk.line()
    except OSError:
        return False
    try:
        return line.ask(request("GET", "/healthz", {"Host": f"localhost:{desk.address[1]}"}))[0] == 200
    except OSError:
        return False
    finally:
        line.close()


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> Iterator[Address]:
    """A process until the end; it listens on this port."""
    with log.open("ab") as output:
        started = subprocess.Popen(command, env=dict(environment), cwd=ROOT, stdout=output, stderr=output)
    try:
        keeper_parts.until(lambda: _listens(port), f"{command[-1]} listens")
        yield ("127.0.0.1", port)
    finally:
        started.terminate()
        started.wait(30)


def _listens(port: int) -> bool:
    try:
        Line(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def beside(tokens: Tokens, app: str, **environment: str) -> Iterator[Address]:
    """Another app behind the same gunicorn with the same TLS."""
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "1", "--bind", f"127.0.0.1:{port}",
        "--keep-alive", "75", "--no-control-socket", "--log-level", "warning", *tokens.tls.options(), app,
    ]
    with running(command, {**os.environ, **environment}, port, tokens.folder / "beside.log") as address:
        yield address


@contextmanager
def oidc_provider() -> Iterator[Address]:
    """npm's, on plain HTTP."""
    script = Path(__file__).with_name("oidc_token.mjs")
    with ExitStack() as stack:
        started = stack.enter_context(subprocess.Popen(
            ["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=script.parent
        ))
        stack.callback(started.terminate)
        assert started.stdout is not None
        yield ("127.0.0.1", int(json.loads(_port_line(started.stdout.readline))))


def _port_line(readline: Callable[[], bytes]) -> str:
    for raw in iter(readline, b""):
        if raw.strip().isdigit():
            return raw.decode()
    raise RuntimeError("oidc-provider did not start")
