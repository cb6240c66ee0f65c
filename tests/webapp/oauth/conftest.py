"""An app with the authorization server in it, servers behind it, persons, and an agent that goes through the protocol by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from flask import Flask, current_app, g, request
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

import tests.tables  # noqa: F401 every room's tables on the metadata
from tests.conftest import Clock
from tests.processes import ended
from vault.door import Door, SessionProof
from webapp.composition import folder
from webapp.config import OAuth, Settings
from webapp.db import Base, Database
from webapp.oauth import tokens
from webapp.oauth.tokens import Caller
from webapp.oauth.views import blueprint
from webapp.people.tables import Person
from webapp.policy import active
from webapp.registry import digest
from webapp.registry.tables import Server, Tool
from webapp.web import faults, headers, htmx, languages, show, words
from webapp.web.guards import guard_of
from webapp.web.house import House, make_house
from webapp.web.viewer import Viewer

ROOT = Path(__file__).parents[3]
PUBLIC_URL = "https://seal.example"
RESOURCE = f"{PUBLIC_URL}/mcp/bank"
CALLBACK = "http://localhost:3118/callback"
VERIFIER = "a-verifier-of-enough-characters-to-be-one-1234567"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def put_server(session: Session, clock: Clock, name: str = "bank", title: str = "Harbour Bank") -> None:
    """A server with one approved tool of each kind that the page words differently."""
    session.add(Server(id=f"srv_{name}", name=name, title=title, url="http://127.0.0.1:1/mcp", manifest="m", created_at=clock(),
                       created_by="test"))
    session.flush()
    for tool, shown, cls, pointers in (
        ("get_balance", "Read the balance", "read", {}),
        ("send_payment", "Send a payment", "money", {"amount": {"pointer": "/amount", "unit": "major"}}),
        ("close_account", "Close <b>everything</b>", "destroy", {}),
    ):
        listed = json.dumps({"name": tool, "title": shown, "inputSchema": {"type": "object"}})
        session.add(Tool(
            id=f"tool_{name}_{tool}", server_id=f"srv_{name}", name=tool, status="approved", listed=listed, approved=listed,
            cls=cls, pointers=pointers, changes_recipients=False, credential=None, changed_at=clock(), first_seen_at=clock(),
            pin=digest.pin(listed, cls=cls, pointers=pointers, changes_recipients=False, credential=None),
        ))


def put_person(session: Session, clock: Clock, person: str, name: str) -> None:
    session.add(Person(id=person, issuer="https://idp.example", subject=person, name=name, email=f"{person}@people.example",
                       groups=[], created_at=clock(), seen_at=clock()))


def viewer(person: str, name: str) -> Viewer:
    return Viewer(person=person, name=name, email=f"{person}@people.example", groups=("user",), admin=False, auditor=False,
                  session="ses", proof=SessionProof("", ""), factor_at=Clock().now)


ALICE = viewer("per_alice", "Alice")
CHARLIE = viewer("per_charlie", "Charlie")


def furnish(database: Database, clock: Clock, folder: Path) -> House:
    """A house with two servers, two persons and active rules; no keeper is needed."""
    settings = Settings(instance=folder, public_url=PUBLIC_URL, oauth=OAuth(registrations_per_source=50))
    made = House(settings=settings, database=database, door=Door(folder / "no-keeper.sock", timeout=0.1), clock=clock)

    def work(session: Session) -> None:
        put_server(session, clock)
        put_server(session, clock, "shop", "Corner Shop")
        put_person(session, clock, ALICE.person, ALICE.name)
        put_person(session, clock, CHARLIE.person, CHARLIE.name)

    database.write(work)
    active.at_start(made)
    return made


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """In place of `database_url`, for what has no more to do with the database than anything else."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.sqlite')}"


@pytest.fixture
def bare_house(database: Database, clock: Clock, tmp_path: Path) -> House:
    return furnish(database, clock, tmp_path)


def guarded(app: Flask) -> None:
    """What `people/` does before each request, without sessions: the person is in the header X-Test-Person."""
    csrf = CSRFProtect()
    app.config.update(SECRET_KEY="for the form tokens of a test", WTF_CSRF_CHECK_DEFAULT=False)
    csrf.init_app(app)

    @app.before_request
    def enter() -> Any:
        mark = guard_of(current_app.view_functions.get(request.endpoint or ""))
        g.viewer = {v.person: v for v in (ALICE, CHARLIE)}.get(request.headers.get("X-Test-Person", ""))
        if mark == "machine" or request.endpoint is None:
            return None
        if g.viewer is None:
            return "sign in first", 401
        return csrf.protect()


def open_doors(house: House) -> Flask:
    made = Flask("webapp", template_folder=folder("templates"), static_folder=folder("static"))
    made.extensions["counterseal"] = house
    htmx.register(made)
    headers.register(made, secure=True)
    faults.register(made)
    show.register(made, evaluation=False)
    languages.register(made, [])
    words.register(made)
    guarded(made)
    made.register_blueprint(blueprint)
    return made


@pytest.fixture
def bare_app(bare_house: House) -> Flask:
    return open_doors(bare_house)


@dataclass
class Agent:
    """An OAuth client, and the browser of the person who uses it. Each step can be told to do it wrong."""

    house: House
    http: FlaskClient
    person: str = ALICE.person
    redirect_uri: str = CALLBACK
    id: str = ""
    last: dict[str, str] = field(default_factory=dict)

    def register(self, **metadata: Any) -> TestResponse:
        body = {"client_name": "Ledger Desk", "redirect_uris": [self.redirect_uri], **metadata}
        answer = self.http.post("/oauth/register", json=body, base_url=PUBLIC_URL)
        if answer.status_code == 201:
            self.id = answer.json["client_id"]
        return answer

    def asks(self, **changed: str | list[str] | None) -> dict[str, Any]:
        """An authorization request's parameters; None leaves one out."""
        asked = {
            "response_type": "code", "client_id": self.id, "redirect_uri": self.redirect_uri, "state": "st&te=1",
            "resource": RESOURCE, "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256", **changed,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def page(self, **changed: Any) -> TestResponse:
        address = f"/oauth/authorize?{urlencode(self.asks(**changed), doseq=True)}"
        return self.http.get(address, base_url=PUBLIC_URL, headers={"X-Test-Person": self.person})

    def decide(self, button: str = "allow", *, page: TestResponse | None = None, **fields: Any) -> TestResponse:
        """Press a button of the page that was shown; `fields` are what somebody changed in its form."""
        shown = page or self.page()
        assert shown.status_code == 200, shown.text
        form = {name: unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', shown.text)}
        return self.http.post("/oauth/authorize", data={**form, "decision": button, **fields}, base_url=PUBLIC_URL,
                              headers={"X-Test-Person": self.person, "Referer": f"{PUBLIC_URL}/oauth/authorize"})

    def code(self, **changed: Any) -> str:
        answer = answer_of(self.decide(page=self.page(**changed)))
        return answer["code"]

    def redeem(self, code: str, **changed: str | list[str] | None) -> TestResponse:
        fields = {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": VERIFIER, **changed}
        return self.token(grant_type="authorization_code", **fields)

    def refresh(self, token: str, **changed: str | None) -> TestResponse:
        return self.token(grant_type="refresh_token", **{"refresh_token": token, **changed})

    def token(self, **fields: Any) -> TestResponse:
        form = {"client_id": self.id, "resource": RESOURCE, **fields}
        return self.http.post("/oauth/token", data={n: v for n, v in form.items() if v is not None}, base_url=PUBLIC_URL)

    def connected(self) -> dict[str, Any]:
        """Register, get consent, redeem: the token answer."""
        if not self.id:
            assert self.register().status_code == 201
        answer = self.redeem(self.code())
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def call(self, access: str, resource: str = RESOURCE) -> Caller:
        """What the gateway does with the token of a request. Raises InvalidToken."""
        with self.house.database.read() as session:
            return tokens.authenticate(session, access, resource, self.house.clock())


def answer_of(response: TestResponse) -> dict[str, str]:
    """The parameters of an authorization response; each once."""
    assert response.status_code == 303, (response.status_code, response.text)
    parameters = parse_qs(urlsplit(response.headers["Location"]).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in parameters.values())
    return {name: values[0] for name, values in parameters.items()}


@pytest.fixture
def agent(bare_house: House, bare_app: Flask) -> Agent:
    return Agent(bare_house, bare_app.test_client())


@pytest.fixture
def stranger(bare_house: House, bare_app: Flask) -> Agent:
    """Another agent, of another person."""
    made = Agent(bare_house, bare_app.test_client(), person=CHARLIE.person)
    made.register(client_name="Other")
    return made


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A registered agent that a whole file shares, for requests that are all refused: each one finds things as they were."""
    folder = tmp_path_factory.mktemp("asker")
    database = Database(f"sqlite:///{folder / 'test.sqlite'}")
    Base.metadata.create_all(database.engine)
    house = furnish(database, Clock(), folder)
    made = Agent(house, open_doors(house).test_client())
    made.register()
    yield made
    database.close()


def prepared(instance: Path, public_url: str) -> None:
    """A database with a server and a person in it."""
    house = make_house(Settings(instance=instance, public_url=public_url))
    Base.metadata.create_all(house.database.engine)

    def work(session: Session) -> None:
        put_server(session, Clock())
        put_person(session, Clock(), ALICE.person, ALICE.name)

    house.database.write(work)
    active.at_start(house)
    house.database.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gunicorn with a gevent worker, on a socket that this process holds open: no port is guessed."""
    instance = tmp_path_factory.mktemp("instance")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        public_url = f"http://localhost:{listening.getsockname()[1]}"
        prepared(instance, public_url)
        listening.set_inheritable(True)
        environment = {**os.environ, "COUNTERSEAL_INSTANCE": str(instance), "COUNTERSEAL_PUBLIC_URL": public_url}
        with (instance / "log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-k", "gevent", "--no-control-socket", "-b", f"fd://{listening.fileno()}",
                 "tests.webapp.oauth.served:make()"],
                cwd=ROOT, env=environment, pass_fds=[listening.fileno()], stdout=log, stderr=log,
            )
        try:
            wait_for(public_url, server, instance / "log")
            yield public_url
        finally:
            ended(server)


def wait_for(public_url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        assert server.poll() is None, log.read_text()
        try:
            requests.get(f"{public_url}/.well-known/oauth-authorization-server", timeout=1)
            return
        except requests.RequestException:
            time.sleep(0.1)
    raise RuntimeError(log.read_text())
