"""Asking a provider: one request a connection where a lost answer would cost a refresh token."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vault.errors import BadRequest
from vault.providers.facts import check_url
from vault.reach import check_address
from vault.settings import BadSettings, load
from vault.transport import Transport

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class OneEach:
    """A server that answers one request a connection, does not say so, and closes a moment later."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.answered = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65_536)
            self.answered += 1
            connection.sendall(ANSWER)
            connection.recv(65_536)  # a second request on this connection is read and never answered


@pytest.fixture
def server() -> Iterator[OneEach]:
    made = OneEach()
    yield made
    made.listener.close()


def test_a_post_never_goes_out_on_a_connection_that_served_one_before(server: OneEach) -> None:
    """The server closes silently: on the same connection the second token request would be lost, and with it a refresh token."""
    transport = Transport(loopback=True)
    assert transport.send("POST", server.url, body="a=1").status == 200
    assert transport.send("POST", server.url, body="a=2").status == 200
    assert server.answered == 2


def test_a_get_never_meets_the_end_of_an_earlier_connection(server: OneEach) -> None:
    transport = Transport(loopback=True)
    assert transport.get(server.url).status == 200
    assert transport.get(server.url).status == 200
    assert server.answered == 2


@pytest.mark.parametrize("url", [
    "https://good.example\n.evil.example/token", "https://good.example\t/token", " https://good.example/token",
    "https://good.example/token\r\nHost: evil", "https://good.example\x00.evil.example/", "https://good.example%00.evil.example/",
    "https://good.example\\.evil.example/", "https://g\u200bood.example/", "https://b\u00e4d.example/", "https://a b.example/", "https://",
])
def test_an_address_is_plain_or_refused(url: str, tmp_path: Path) -> None:
    """Attack: `urlsplit` drops line ends and tabs: what is checked is another host than the one that a library connects to."""
    with pytest.raises(BadRequest):
        Transport().check(url)
    with pytest.raises(ValueError, match="provider's address"):
        check_url(url)
    origin = url.replace("/token", "")
    with pytest.raises(BadSettings):
        load(tmp_path, evaluation=False, environ={"COUNTERSEAL_PUBLIC_URL": origin})
    with pytest.raises(BadSettings):
        check_address(origin)


@pytest.mark.parametrize("url", ["https://good.example:8443/a?b=%20", "https://[2001:db8::1]/", "https://xn--bcher-kva.example/"])
def test_a_plain_address_is_taken(url: str) -> None:
    assert Transport().check(url) == url
    check_url(url)
