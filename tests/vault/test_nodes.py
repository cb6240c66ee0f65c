"""Which node a request goes to, and when it may go to another: scripted nodes, so that each turn is one that was meant."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.keeper_parts import until
from tests.processes import free_port
from vault import client
from vault.client import Vault
from vault.errors import VaultAway, VaultSealed
from vault.login import AppRole, Token
from vault.nodes import BEYOND, Nodes
from vault.secret import Secret
from vault.wire import Unheard, Unreached

Says = tuple[int, Mapping[str, str], bytes]
SEALED = (503, {}, b'{"errors":["Vault is sealed"]}\n')
LEADERLESS = (503, {}, b'{"errors":["no active Vault instance found"]}\n')
FINE = (200, {}, b'{"data":{}}')


def index(value: int, cluster: str = "c8029a12-6c83-df4b-a319-b83d1763c996") -> str:
    return base64.b64encode(json.dumps({"cluster": cluster, "value": str(value)}, separators=(",", ":")).encode()).decode()


@dataclass
class Scripted:
    """A node that says what it is told to; None hangs up once the request was read."""

    address: str = ""
    says: Callable[[BaseHTTPRequestHandler], Says | None] = lambda _: FINE
    heard: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def point(self, other: Scripted | str) -> None:
        """A standby's answer."""
        self.says = lambda asked: (307, {"Location": (other if isinstance(other, str) else other.address) + asked.path}, b"")

    def say(self, answer: Says | None) -> None:
        self.says = lambda _: answer


@contextmanager
def node() -> Iterator[Scripted]:
    scripted = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            scripted.heard.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = scripted.says(self)
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response_only(answer[0])
            for name, value in {**answer[1], "Content-Length": str(len(answer[2]))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer[2])

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scripted.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Three:
    all: tuple[Scripted, Scripted, Scripted]
    nodes: Nodes

    def counts(self) -> tuple[int, ...]:
        return tuple(len(one.heard) for one in self.all)


@pytest.fixture
def three() -> Iterator[Three]:
    with ExitStack() as stack:
        made = [stack.enter_context(node()) for _ in range(3)]
        nodes = Nodes([one.address for one in made], timeout=20)
        stack.callback(nodes.close)
        yield Three((made[0], made[1], made[2]), nodes)


def test_a_standby_points_and_the_active_node_is_remembered(three: Three) -> None:
    """A write too: a standby that points has done nothing."""
    a, b, _ = three.all
    a.point(b)
    for _ in range(3):
        assert three.nodes.request("POST", "/v1/x", body=b"{}").status == 200
    assert three.counts() == (1, 3, 0)
    assert b.heard[0][2]["x-vault-no-request-forwarding"] == "true"


def test_a_node_that_was_active_and_is_one_no_more_is_left(three: Three) -> None:
    a, b, c = three.all
    a.point(b)
    three.nodes.request("GET", "/v1/x", again=True)
    b.point(c)
    assert three.nodes.request("POST", "/v1/x", body=b"{}").status == 200
    assert three.counts() == (1, 2, 1)


def test_standbys_that_point_at_each_other_or_nowhere_end_in_an_error(three: Three) -> None:
    a, b, c = three.all
    a.point(b)
    b.point(c)
    c.point(a)
    with pytest.raises(Unreached, match="active"):
        three.nodes.request("GET", "/v1/x", again=True)
    for one, where in zip(three.all, ("", "/v1/x", "nonsense"), strict=True):
        one.say((307, {"Location": where}, b""))
    with pytest.raises(Unreached, match="active"):
        three.nodes.request("GET", "/v1/x", again=True)


@pytest.mark.parametrize("where", [
    "http://elsewhere.example:8200", "ftp://127.0.0.1", "https://127.0.0.1:1", "http://a@127.0.0.1:1", "http://[::1",
])
def test_a_token_goes_nowhere_that_an_address_of_ours_could_not_be(three: Three, where: str) -> None:
    """In clear to another machine, or under another scheme: never, whatever a node says."""
    for one in three.all:
        one.point(where)
    with pytest.raises(Unreached, match="active"):
        three.nodes.request("GET", "/v1/x", again=True)
    assert set(three.nodes._wires) == set(three.nodes.addresses)


def test_what_may_have_been_carried_out_is_sent_to_no_other(three: Three) -> None:
    three.all[0].say(None)
    with pytest.raises(Unheard):
        three.nodes.request("POST", "/v1/x", body=b"{}")
    assert three.counts() == (1, 0, 0)
    assert three.nodes.request("POST", "/v1/y", body=b"{}").status == 200, "the next request begins elsewhere"
    assert three.counts() == (1, 1, 0)


@pytest.mark.parametrize("answer", [
    (500, {}, b'{"errors":["1 error occurred"]}'), (502, {}, b"<html>"), (429, {}, b'{"errors":["quota"]}'),
])
def test_an_answer_that_says_nothing_of_what_was_done_is_the_answer(three: Three, answer: Says) -> None:
    three.all[0].say(answer)
    assert three.nodes.request("POST", "/v1/x", body=b"{}").status == answer[0]
    assert three.counts() == (1, 0, 0)


def test_a_read_that_was_not_heard_is_asked_of_another(three: Three) -> None:
    three.all[0].say(None)
    assert three.nodes.request("GET", "/v1/x", again=True).status == 200
    assert three.counts()[1] == 1


@pytest.mark.parametrize("answer", [
    SEALED, LEADERLESS, (500, {}, b'{"errors":["local node not active but active cluster node not found"]}'),
])
def test_a_node_that_has_done_nothing_for_want_of_a_leader_or_a_seal_is_left(three: Three, answer: Says) -> None:
    three.all[0].say(answer)
    assert three.nodes.request("POST", "/v1/x", body=b"{}").status == 200
    assert three.counts() == (1, 1, 0)


def test_nobody_home(three: Three) -> None:
    nodes = Nodes([f"http://127.0.0.1:{free_port()}" for _ in range(2)], timeout=5)
    with pytest.raises(Unreached):
        nodes.request("POST", "/v1/x", body=b"{}")


def test_an_old_read_cannot_come_from_a_standby(three: Three) -> None:
    """OpenBao names its cluster in every answer. From then on each request asks for a state that only the active node may claim,
    and the read that told us, which a standby may have answered, is asked again."""
    a = three.all[0]
    for number, one in enumerate(three.all):
        one.say((200, {"X-Vault-Index": index(40 + number)}, b'{"data":{}}'))
    assert three.nodes.request("GET", "/v1/x", again=True).status == 200
    first, second = (one[2] for one in a.heard)
    assert "x-vault-index" not in first
    assert json.loads(base64.b64decode(second["x-vault-index"]))["value"] == BEYOND
    assert second["x-vault-inconsistent"] == "forward-active-node"
    for value in (9, 10, 99_999, 123_456_789):
        a.say((200, {"X-Vault-Index": index(value)}, b"{}"))
        three.nodes.request("GET", "/v1/x", again=True)
    assert len(a.heard) == 6, "asked again for the first alone"
    a.say((200, {"X-Vault-Index": index(7, "another0-6c83-df4b-a319-b83d1763c996")}, b"{}"))
    three.nodes.request("GET", "/v1/x", again=True)
    assert len(a.heard) == 8, "and for another cluster"
    assert "another0" in base64.b64decode(a.heard[-1][2]["x-vault-index"]).decode()


@pytest.mark.parametrize("value", ["v1:abc", "bm90IGpzb24=", base64.b64encode(b'{"cluster":"x","value":"opaque"}').decode(), "é"])
def test_an_index_of_another_kind_is_let_be(three: Three, value: str) -> None:
    three.all[0].say((200, {"X-Vault-Index": value}, b"{}"))
    three.nodes.request("GET", "/v1/x", again=True)
    assert len(three.all[0].heard) == 1


def test_a_login_that_is_answered_without_a_token_is_said_so(three: Three) -> None:
    """As where a second factor is asked for. The token of before is not sent along."""
    three.all[0].say((200, {}, b'{"auth":{"client_token":"","mfa_requirement":{}}}'))
    vault = Vault(three.nodes.addresses[0], login=AppRole("r", lambda: Secret("s")), timeout=20)
    with pytest.raises(VaultAway, match="without a token") as raised:
        vault.read("x")
    assert "does not let the keeper in" in raised.value.hint
    assert three.all[0].heard[0][2]["x-vault-token"] == ""
    vault.wire.close()


def test_a_login_that_is_refused_again_and_again_is_not_tried_with_every_request(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vault locks out whoever is refused too often, and would go on doing so once the operator has mended it."""
    three.all[0].say((400, {}, b'{"errors":["invalid secret id"]}'))
    vault = Vault(three.nodes.addresses[0], login=AppRole("r", lambda: Secret("s")), timeout=20)
    for _ in range(20):
        with pytest.raises(VaultAway, match="invalid secret id") as raised:
            vault.read("x")
        assert "does not let the keeper in" in raised.value.hint
    assert len(three.all[0].heard) == client.REFUSALS
    three.all[0].say((200, {}, b'{"auth":{"client_token":"s.one","lease_duration":3600,"renewable":true}}'))
    monkeypatch.setattr(client, "WITHIN", 0.0)
    vault.read("x")
    vault.wire.close()


def test_while_a_token_is_replaced_the_old_one_is_used(three: Three) -> None:
    """It is good for half its life still: nobody is sent without one, and one that cannot be had leaves it in place."""
    login = threading.Event()
    asked: list[str] = []

    def says(asked_: BaseHTTPRequestHandler) -> Says:
        if not asked_.path.endswith("/login"):
            asked.append(asked_.headers["X-Vault-Token"])
            return FINE
        if asked:
            login.wait(60)
            return 400, {}, b'{"errors":["no more"]}'
        return 200, {}, b'{"auth":{"client_token":"s.first","lease_duration":3600,"renewable":false}}'

    three.all[0].says = says
    vault = Vault(three.nodes.addresses[0], login=AppRole("r", lambda: Secret("s")), timeout=60)
    vault.read("x")
    vault._renew_at = 0.0
    replacing = threading.Thread(target=vault.read, args=("x",))
    replacing.start()
    try:
        until(lambda: any(one[1].endswith("/login") for one in three.all[0].heard[2:]), "the second login is under way")
        vault.read("x")
    finally:
        login.set()
        replacing.join(60)
    assert asked == ["s.first"] * 3
    vault.wire.close()


def test_a_session_tells_sealed_from_away(three: Three) -> None:
    vault = Vault(",".join(three.nodes.addresses), login=Token(lambda: Secret("s.x")), timeout=5)
    for answer, error in ((SEALED, VaultSealed), (LEADERLESS, VaultAway)):
        for one in three.all:
            one.say(answer)
        with pytest.raises(error):
            vault.read("x")
        assert vault.state()[0] == "away", "none is active"
    vault.wire.close()
