"""Asking a provider: one request a connection where a lost answer would cost a refresh token."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

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
