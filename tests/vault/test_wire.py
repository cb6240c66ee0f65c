"""One answer on one connection, however it is cut and counted; a connection that is out of step is never used again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vault.wire import LARGEST, Unheard, Wire


@contextmanager
def answering(*pieces: bytes, close: bool = False) -> Iterator[tuple[Wire, list[int]]]:
    """A server that answers each request with these pieces; how many connections it took."""
    taken: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def serve() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                taken.append(1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=answer, args=(sock,), daemon=True).start()

        def answer(sock: socket.socket) -> None:
            with sock:
                while sock.recv(65536):
                    for piece in pieces:
                        sock.sendall(piece)
                    if close:
                        return

        threading.Thread(target=serve, daemon=True).start()
        wire = Wire(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20)
        yield wire, taken
        wire.close()
        listening.shutdown(socket.SHUT_RDWR)


def counted(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = [b"HTTP/1.1 " + status, *lines, b"Content-Length: " + str(len(body)).encode()]
    return b"\r\n".join([*head, b"", b""]) + body


WHOLE = counted(b'{"a":1}', b"Server: x", b"Content-Type: application/json")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n"


@pytest.mark.parametrize("pieces", [
    (WHOLE,), (WHOLE[:20], WHOLE[20:]), (WHOLE[:-3], WHOLE[-3:]), tuple(WHOLE[at:at + 1] for at in range(len(WHOLE))), (CHUNKED,),
    (CHUNKED[:30], CHUNKED[30:60], CHUNKED[60:]), (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,),
    (counted(b'{"a":1}', b"X-Content-Length: 3"),), (b"HTTP/1.1 200 OK\ncontent-length: 7\n\n{\"a\":1}",),
], ids=["whole", "in-head", "in-body", "byte-by-byte", "chunked", "chunks", "continue", "alike", "bare-newlines"])
def test_an_answer_is_read_whole_and_its_connection_used_again(pieces: tuple[bytes, ...]) -> None:
    with answering(*pieces) as (wire, taken):
        for _ in range(3):
            heard = wire.request("GET", "/")
            assert (heard.status, heard.body) == (200, b'{"a":1}')
        assert len(taken) == 1


def test_an_answer_of_many_pieces_is_put_together() -> None:
    body = bytes(range(256)) * 4000
    with answering(counted(body, status=b"422 No")) as (wire, _):
        heard = wire.request("POST", "/", body=b"x")
    assert (heard.status, heard.body) == (422, body)


@pytest.mark.parametrize("answer", [
    counted(b"ok", b"Connection: close"), b"HTTP/1.1 200 OK\r\n\r\nok", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
], ids=["asked-to", "uncounted", "old"])
def test_a_connection_that_the_other_side_ends_is_not_kept(answer: bytes) -> None:
    with answering(answer, close=True) as (wire, taken):
        for _ in range(2):
            assert wire.request("GET", "/").body == b"ok"
        assert len(taken) == 2


def test_bytes_after_an_answer_are_no_answer_to_the_next_request() -> None:
    with answering(WHOLE + WHOLE) as (wire, taken):
        for _ in range(2):
            assert wire.request("GET", "/").body == b'{"a":1}'
        assert len(taken) == 2


@pytest.mark.parametrize("answer", [
    b"", b"nonsense\r\n\r\n", WHOLE[:-1], counted(b"x" * 7, b"Content-Length: 3")[:-7] + b"x",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + str(LARGEST + 1).encode() + b"\r\n\r\n",
], ids=["nothing", "no-http", "cut", "counted-twice", "too-large"])
def test_what_is_no_whole_answer_is_unheard(answer: bytes) -> None:
    with answering(answer, close=True) as (wire, _), pytest.raises(Unheard):
        wire.request("POST", "/", body=b"x")


def test_an_answer_without_a_body_leaves_none_to_read() -> None:
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (wire, taken):
        assert [wire.request("DELETE", "/").body for _ in range(2)] == [b"", b""]
        assert len(taken) == 1
