"""`examples/`: an MCP server that takes a just-in-time token for each call, run as it is, on a standing house. The account
provider is npm's `oidc-provider`, the API behind asks it about each token, and the server proves itself with a key, or with a
certificate over TLS that ends in gunicorn."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from joserfc.jwk import OKPKey
from mcp_types import CallToolResult

from tests.csr import csr, new_key, private_pem
from tests.keeper_parts import PUBLIC_URL, ROOT, until
from tests.oidc_provider import Provider
from tests.processes import free_port
from tests.real.running import CLI, PATIENCE, Running, start
from tests.real.standing import LEDGER, PAY, READ, Standing, listening
from tests.real.visitor import FIELD, Agent

EXAMPLES = ROOT / "examples"
sys.path.append(str(EXAMPLES))

from justintime import Broker, Certificate, Key, NeedsPerson, Pending, Refused  # noqa: E402

pytestmark = pytest.mark.real
MAY = f"{LEDGER}:{READ},{PAY}"


@dataclass
class Api:
    """Ledger House's own API: it believes no token that its provider does not vouch for."""

    provider: Provider
    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)

    def allows(self, authorization: str, scope: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        told = self.provider.introspect(token)
        self.seen.append((token, told.get("scope", "")))
        return bool(told["active"]) and scope in told["scope"].split()


@contextmanager
def books(provider: Provider) -> Iterator[Api]:
    api = Api(provider)

    class Handler(BaseHTTPRequestHandler):
        def answer(self, scope: str, words: str) -> None:
            allowed = api.allows(self.headers.get("Authorization", ""), scope)
            body = (words if allowed else "no").encode()
            self.send_response(200 if allowed else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer(READ, f"the books of {self.path.rsplit('/', 1)[1]}")

        def do_POST(self) -> None:
            invoice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["invoice"]
            self.answer(PAY, f"paid {invoice}")
            api.paid.append(invoice)

        def log_message(self, *_args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Caller(Agent):
    """An agent that knows the example's address and nothing else."""

    address: str = ""

    @property
    def url(self) -> str:
        return self.address


@dataclass
class Scene:
    stand: Standing
    api: Api
    secure: str
    client: str
    agent: Caller
    server: Running

    def open(self, words: str) -> None:
        """Nora opens the page that the agent was told, and allows what it says."""
        found = re.search(r"https://localhost:\d+(/connections/\S+)", words)
        assert found, words
        nora = self.stand.visitor("nora")
        page = nora.get(found.group(1))
        assert page.status_code == 200, page.text
        fields: dict[str, Any] = dict(FIELD.findall(page.text)) | {"scope": [READ, PAY]}
        done = nora.ask("POST", "/connections/consents/new", data=fields, headers={"Origin": PUBLIC_URL})
        assert done.status_code == 303, done.text

    def held(self, before: list[str]) -> str:
        return self.stand.next_held(self.client, before)


@pytest.fixture(scope="module")
def api(standing_session: Standing) -> Iterator[Api]:
    with books(standing_session.accounts) as running:
        standing_session.mend()
        standing_session.visitor("nora").connect(standing_session.accounts, LEDGER, [READ, PAY], "nora")
        yield running


@pytest.fixture(scope="module")
def secure(standing_session: Standing) -> Iterator[str]:
    """A web process of the same house at which TLS ends: its address."""
    port = free_port()
    url = f"https://localhost:{port}"
    words = [*CLI, "serve", "--bind", f"127.0.0.1:{port}", "--certfile", standing_session.tls["certificate"],
             "--keyfile", standing_session.tls["key"]]
    running = start(words, standing_session.log("tls"), {**standing_session.environment, "COUNTERSEAL_PUBLIC_URL": url})
    try:
        until(lambda: listening(port) or running.process.poll() is not None, "the TLS process listens", PATIENCE)
        assert running.process.poll() is None, running.output
        yield url
    finally:
        running.stop()


def registered(stand: Standing, name: str, *how: str) -> str:
    """As an admin does on a command line: the client's id."""
    said = stand.command("client", "add", name, *how, "--allow", MAY)
    found = re.search(r"\bclient_[0-9a-z]+", said)
    assert found, said
    return found.group(0)


@contextmanager
def example(api: Api, secure: str, port: int, log: Path, **more: str) -> Iterator[Running]:
    """The example server, as its docstring says."""
    environment = {
        "COUNTERSEAL_URL": secure, "COUNTERSEAL_ISSUER": PUBLIC_URL, "BOOKS_API": api.url,
        "PUBLIC_URL": f"http://127.0.0.1:{port}/mcp", "PYTHONPATH": str(EXAMPLES), **more,
    }
    running = start([sys.executable, str(EXAMPLES / "books_server.py"), str(port)], log, environment, EXAMPLES)
    try:
        until(lambda: listening(port) or running.process.poll() is not None, "the example listens", PATIENCE)
        assert running.process.poll() is None, running.output
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module", params=["key", "certificate"])
def scene(
    request: pytest.FixtureRequest, standing_session: Standing, api: Api, secure: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder, port, stand = tmp_path_factory.mktemp("example"), free_port(), standing_session
    resource = ("--resource", f"http://127.0.0.1:{port}/mcp")
    if request.param == "key":
        client, key = keyed(stand, folder, *resource)
        proof = {"CLIENT_KEY": str(key)}
    else:
        client, pair = certified(stand, folder, *resource)
        proof = {"CLIENT_CERTIFICATE": str(pair)}
    with example(api, secure, port, folder / "log", CLIENT_ID=client, **proof) as running:
        agent = Caller(stand.visitor("nora"), "", stand.ports[0], address=f"http://127.0.0.1:{port}/mcp")
        yield Scene(stand, api, secure, client, agent, running)


@pytest.fixture(scope="module")
def reporting(
    standing_session: Standing, api: Api, secure: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Scene, Broker]]:
    """The example as it is set up where an admin registered it for certain tools; and its broker, to be called by hand."""
    folder, port, stand = tmp_path_factory.mktemp("reporting"), free_port(), standing_session
    address = f"http://127.0.0.1:{port}/mcp"
    client, key = keyed(stand, folder, "--resource", address, "--tool", f"{LEDGER}:pay_invoice")
    with example(api, secure, port, folder / "log", CLIENT_ID=client, CLIENT_KEY=str(key), REPORTED="1") as running:
        agent = Caller(stand.visitor("nora"), "", stand.ports[0], address=address)
        made = Scene(stand, api, secure, client, agent, running)
        assert agent.connect()
        made.open(text(agent.call("pay_invoice", {"invoice": "RE-first"})))
        yield made, Broker(secure, Key(client, key))


def keyed(stand: Standing, folder: Path, *how: str) -> tuple[str, Path]:
    """A client with a key, and the key's file."""
    key = OKPKey.generate_key("Ed25519")
    (folder / "key.json").write_text(json.dumps(key.as_dict(private=True)))
    (folder / "public.json").write_text(json.dumps(key.as_dict(private=False)))
    return registered(stand, "Books desk", "--jwk", str(folder / "public.json"), *how), folder / "key.json"


def certified(stand: Standing, folder: Path, *how: str) -> tuple[str, Path]:
    """A client with a certificate, in one file with its key."""
    key = new_key()
    (folder / "request.pem").write_text(csr(key))
    files = ("--csr", str(folder / "request.pem"), "--out", str(folder / "made.pem"))
    client = registered(stand, f"Desk {folder.name}", *files, *how)
    pair = folder / "client.pem"
    pair.write_bytes(private_pem(key) + (folder / "made.pem").read_bytes())
    pair.chmod(0o600)
    return client, pair


def text(result: CallToolResult) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


def test_a_call_gets_a_narrow_token_of_its_persons_account_after_the_person_allowed_it(scene: Scene, stand: Standing) -> None:
    assert set(scene.agent.connect()) == {"read_books", "pay_invoice"}
    told = scene.agent.call("read_books", {"year": 2026})
    assert told.is_error
    assert "Ask the person to open" in text(told)
    scene.open(text(told))
    before = len(scene.api.seen)
    answer = scene.agent.call("read_books", {"year": 2026})
    assert not answer.is_error, text(answer) + scene.server.output
    assert text(answer) == "the books of 2026"
    [(token, scope)] = scene.api.seen[before:]
    assert READ in scope.split()
    assert PAY not in scope.split()
    assert token != scene.agent.token
    assert token not in scene.server.output


def test_what_moves_money_waits_for_people_and_goes_on_by_itself(scene: Scene, stand: Standing) -> None:
    nora, jonas, before = stand.visitor("nora"), stand.visitor("jonas"), stand.held(scene.client)
    invoice = f"RE-{scene.client[-6:]}-1"
    waiting = scene.agent.begin("pay_invoice", {"invoice": invoice})
    action = scene.held(before)
    assert "reported" in nora.get(f"/actions/{action}").text.lower()
    assert scene.api.paid.count(invoice) == 0
    assert nora.decide(action).status_code == 303
    assert stand.state(action) == "held", "its owner's word is not enough where nobody here sees the amount"
    assert jonas.decide(action).status_code == 303
    answer = waiting.result(PATIENCE)
    assert text(answer) == f"paid {invoice}", text(answer) + scene.server.output
    assert scene.api.paid.count(invoice) == 1


def test_a_rejection_reaches_the_agent_with_the_persons_reason(scene: Scene, stand: Standing) -> None:
    jonas, before = stand.visitor("jonas"), stand.held(scene.client)
    invoice = f"RE-{scene.client[-6:]}-2"
    waiting = scene.agent.begin("pay_invoice", {"invoice": invoice})
    action = scene.held(before)
    shown = dict(FIELD.findall(jonas.get(f"/actions/{action}").text))["shown"]
    assert jonas.send(f"/actions/{action}/reject", shown=shown, reason="It was paid last week.").status_code == 303
    answer = waiting.result(PATIENCE)
    assert answer.is_error
    assert "It was paid last week." in text(answer)
    assert invoice not in scene.api.paid


def test_who_comes_without_a_token_is_shown_the_way_in(scene: Scene) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, urllib.request as u, urllib.error as e\n"
         "try: u.urlopen(u.Request(sys.argv[1], b'{}', {'Content-Type': 'application/json'}))\n"
         "except e.HTTPError as error: print(error.code, error.headers['WWW-Authenticate'])", scene.agent.address],
        capture_output=True, text=True, check=True,
    )
    assert done.stdout.startswith("401 Bearer")
    assert "resource_metadata=" in done.stdout


def test_a_certificate_is_renewed_by_itself_and_the_new_one_is_used(
    stand: Standing, api: Api, secure: str, tmp_path: Path
) -> None:
    client, pair = certified(stand, tmp_path, "--resource", f"http://127.0.0.1:{free_port()}/mcp")
    broker, first = Broker(secure, Certificate(client, pair)), pair.read_bytes()
    assert broker.introspect("nothing") == {"active": False}
    assert not broker.renew()
    assert broker.renew(datetime.now(UTC) + timedelta(hours=13))
    serials = [x509.load_pem_x509_certificate(one).serial_number for one in (first, pair.read_bytes())]
    assert serials[0] != serials[1]
    assert pair.stat().st_mode & 0o077 == 0
    assert broker.introspect("nothing") == {"active": False}
    with pytest.raises(Refused) as refused:
        Broker(secure, Certificate("client_somebody", pair)).exchange("nothing", LEDGER, [READ])
    assert refused.value.code == "invalid_client"
    assert not isinstance(refused.value, NeedsPerson)


def test_a_server_for_certain_tools_says_which_it_runs_and_gets_nothing_for_others(
    reporting: tuple[Scene, Broker], stand: Standing
) -> None:
    """`Needs(broker, reported=True)`: people decide on the tool and its arguments, and on no context of the SDK."""
    scene, broker = reporting
    nora, jonas, before = stand.visitor("nora"), stand.visitor("jonas"), stand.held(scene.client)
    invoice = f"RE-{scene.client[-6:]}-9"
    waiting = scene.agent.begin("pay_invoice", {"invoice": invoice})
    action = scene.held(before)
    page = nora.get(f"/actions/{action}").text
    ours, reported = page.split("Reported by the server", 1)
    assert f"<bdi>{invoice}</bdi>" in reported
    assert '<bdi class="mono">pay_invoice</bdi>' in reported
    assert "<bdi>ctx<" not in page
    assert invoice not in ours
    assert [visitor.decide(action).status_code for visitor in (nora, jonas)] == [303, 303]
    assert text(waiting.result(PATIENCE)) == f"paid {invoice}", scene.server.output
    other = scene.agent.call("read_books", {"year": 2026})
    assert other.is_error
    assert "invalid_authorization_details" in text(other)
    with pytest.raises(Refused) as unsaid:
        broker.exchange(scene.agent.token, LEDGER, [PAY])
    assert unsaid.value.code == "invalid_authorization_details"


def test_the_library_asks_no_more_often_than_it_is_told(reporting: tuple[Scene, Broker], stand: Standing) -> None:
    """`slow_down` from the real token endpoint: who polls at once is told to wait longer each time, and does."""
    scene, broker = reporting
    told: list[Pending] = []
    paused: list[float] = []

    def hurry(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 4:
            raise Impatient

    call = {"tool": "pay_invoice", "arguments": {"invoice": f"RE-{scene.client[-6:]}-slow"}}
    with pytest.raises(Impatient):
        broker.token(scene.agent.token, LEDGER, [PAY], call=call, waiting=told.append, sleep=hurry)
    assert paused == [pending.interval for pending in told]
    assert paused[0] == 5
    assert all(after - before in (0, 5) for before, after in itertools.pairwise(paused)), paused
    assert paused[-1] > 5, "a machine that takes five seconds for each request is not told to slow down"
    assert len({(pending.request, pending.url) for pending in told}) == 1
    assert stand.visitor("nora").send(f"{urlsplit(told[0].url).path}/withdraw").status_code == 303


class Impatient(Exception):
    pass
