"""A client that costs next to nothing, so that what is measured is the other end: ready-made bytes over kept connections."""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Mapping

Address = tuple[str, int]


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A whole HTTP/1.1 request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, *length, "", ""]).encode() + body


class Line:
    """One kept connection, over TLS where there is a context. `ask` sends a request and returns status and body."""

    def __init__(self, address: Address, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(address)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        self.read = b""

    def ask(self, sent: bytes) -> tuple[int, bytes]:
        self.read = b""
        self.socket.sendall(sent)
        while (found := answer(self.read)) is None:
            self.more()
        return found

    def more(self) -> None:
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError(f"the other end closed after {self.read[:300]!r}")
        self.read += chunk

    def close(self) -> None:
        self.socket.close()


def answer(read: bytes) -> tuple[int, bytes] | None:
    """Status and body of a whole response; None while it is not whole."""
    head, found, body = read.partition(b"\r\n\r\n")
    if not found:
        return None
    status, lower = int(head[9:12]), head.lower()
    if b"transfer-encoding: chunked" in lower:
        return (status, _joined(body)) if body.endswith(b"0\r\n\r\n") else None
    at = lower.find(b"content-length:")
    length = int(lower[at + 15:].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return (status, body) if len(body) >= length else None


def _joined(chunked: bytes) -> bytes:
    parts = []
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        parts.append(rest[:int(size, 16)])
        chunked = rest[int(size, 16) + 2:]
    return b"".join(parts)


def per_second(
    address: Address, sent: bytes, *, connections: int, seconds: float, lead: float, context: ssl.SSLContext | None = None
) -> tuple[float, int]:
    """How many requests a second are answered with 200 when so many are always under way; and how many that were. Counting
    begins after `lead` seconds: until then the first ones are all in the same place."""
    lines = [Line(address, context) for _ in range(connections)]
    waiting = selectors.DefaultSelector()
    for line in lines:
        waiting.register(line.socket, selectors.EVENT_READ, line)
        line.socket.sendall(sent)
    _answered(waiting, sent, lead)
    began = time.perf_counter()
    done = _answered(waiting, sent, seconds)
    took = time.perf_counter() - began
    for line in lines:
        line.close()
    return done / took, done


def _answered(waiting: selectors.BaseSelector, sent: bytes, seconds: float) -> int:
    """Go on for so long; how many were answered."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for key, _ in waiting.select(1.0):
            done += _turn(key.data, sent)
    return done


def _turn(line: Line, sent: bytes) -> int:
    line.more()
    found = answer(line.read)
    if found is None:
        return 0
    if found[0] != 200:
        raise ConnectionError(f"answered {found[0]}: {found[1][:300]!r}")
    line.read = b""
    line.socket.sendall(sent)
    return 1
