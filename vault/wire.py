"""Kept HTTP/1.1 connections to one address: a unix socket or TCP. Used towards the keeper and towards Vault.

Safe for many threads and greenlets, and across a fork. A connection serves one request at a time.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

KEPT = 32
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")
LARGEST = 16_000_000
PLAIN = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?Content-Length: ?([0-9]{1,9})\r\n(?:[^\r\n]+\r\n)*\r\n",
    re.IGNORECASE,
)
"""A whole head with one count of the body's bytes. Lines end as RFC 9112 says, and in no other way."""
NOT_PLAIN = re.compile(
    rb"^HTTP/1\.1 (?:204|304)|\r\n(?:Transfer-Encoding|Connection: ?close|[ \t])", re.IGNORECASE
)
TWICE = re.compile(rb"\r\nContent-Length.*\r\nContent-Length", re.IGNORECASE | re.DOTALL)


class Unreached(Exception):
    """No connection could be made: nothing was sent."""


class Unheard(Exception):
    """The request was sent, wholly or in part, and no answer came: it may have been carried out."""


@dataclass(frozen=True)
class Heard:
    status: int
    body: bytes
    head: bytes = b""

    def header(self, name: str) -> str:
        """Its first value, empty where there is none."""
        found = re.search(rb"\r\n" + name.encode() + rb":[ \t]*([^\r\n]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1").strip() if found else ""


class Wire:
    """`address` is `unix:<path>`, `http://host:port` or `https://host:port`; `timeout` in seconds bounds each wait."""

    def __init__(self, address: str, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.timeout = timeout
        self._tls = tls or (ssl.create_default_context() if address.startswith("https://") else None)
        self._host = "localhost" if address.startswith("unix:") else urlsplit(address).netloc
        self._kept: list[socket.socket] = []
        self._pid = os.getpid()

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, again: bool = False,
    ) -> Heard:
        """Send one request. `again` says that carrying it out twice does no harm: only then is it repeated when a kept
        connection turns out to be dead. Raises Unreached or Unheard."""
        wait = timeout or self.timeout
        message = self._message(method, path, body or b"", headers or {})
        while True:
            kept = self._take()
            sock = kept or self._connect(wait)
            try:
                return self._exchange(sock, method, message, wait)
            except (OSError, http.client.HTTPException) as error:
                sock.close()
                if kept is None or not again or isinstance(error, TimeoutError):
                    raise Unheard(f"{self.address}: {type(error).__name__}") from error
            except BaseException:
                # A killed greenlet leaves a half-read answer behind: the next request must not read it.
                sock.close()
                raise

    def close(self) -> None:
        while self._kept:
            self._kept.pop().close()

    def _message(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The request in one piece, so that it leaves in one packet."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any(FORBIDDEN.search(line) for line in lines):
            raise ValueError("a control character in a request's head")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def _connect(self, timeout: float) -> socket.socket:
        try:
            if self.address.startswith("unix:"):
                return _connected(self.address.removeprefix("unix:"), timeout)
            parts = urlsplit(self.address)
            host = parts.hostname or ""
            sock = socket.create_connection((host, parts.port or (443 if self._tls else 80)), timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._tls.wrap_socket(sock, server_hostname=host) if self._tls else sock
        except OSError as error:
            raise Unreached(f"{self.address}: {type(error).__name__}") from error

    def _exchange(self, sock: socket.socket, method: str, message: bytes, timeout: float) -> Heard:
        sock.settimeout(timeout)
        sock.sendall(message)
        status, content, whole, head = _heard(sock, method)
        if len(content) > LARGEST:
            raise http.client.HTTPException("the answer is too large")
        if whole and len(self._kept) < KEPT:
            self._kept.append(sock)
        else:
            sock.close()
        return Heard(status, content, head)

    def _take(self) -> socket.socket | None:
        """The kept connection used last, if it is still alive. After a fork the parent's are not ours to use."""
        if self._pid != os.getpid():
            self._kept, self._pid = [], os.getpid()
        while True:
            try:
                sock = self._kept.pop()
            except IndexError:
                return None
            if _alive(sock):
                return sock
            sock.close()


def _heard(sock: socket.socket, method: str) -> tuple[int, bytes, bool, bytes]:
    """Status, body, whether the connection can be used again (not when more came than was counted), and the head.

    Nearly all answers are counted and come in one piece: those are taken apart here, which costs a fifth of what
    `http.client` needs. Any other is left to it, with what was received already."""
    received = sock.recv(65536)
    plain = PLAIN.match(received)
    if plain is None or method == "HEAD" or NOT_PLAIN.search(plain[0]):
        return _any_answer(sock, method, received)
    if TWICE.search(plain[0]):  # RFC 9112 section 6.3: unrecoverable, two readers would see two bodies
        raise http.client.HTTPException("two lengths")
    length, start = int(plain[2]), plain.end()
    if length > LARGEST:
        raise http.client.HTTPException("the answer is too large")
    pieces, missing = [received[start:start + length]], length - (len(received) - start)
    while missing > 0:
        piece = sock.recv(min(missing, 1_000_000))
        if not piece:
            raise http.client.IncompleteRead(b"".join(pieces), missing)
        pieces.append(piece)
        missing -= len(piece)
    return int(plain[1]), b"".join(pieces), missing == 0, plain[0]


def _any_answer(sock: socket.socket, method: str, received: bytes) -> tuple[int, bytes, bool, bytes]:
    response = http.client.HTTPResponse(_Begun(sock, received), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        content = response.read(LARGEST + 1)
        head = "".join(f"\r\n{name}: {value}" for name, value in response.headers.items()).encode("latin-1", "replace")
        return response.status, content, response.isclosed() and not response.will_close, head
    finally:
        response.close()


class _Begun(io.RawIOBase):
    """A socket of whose answer a first piece was read already."""

    def __init__(self, sock: socket.socket, received: bytes) -> None:
        self._sock, self._received = sock, received

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, 65536)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._received:
            return self._sock.recv_into(buffer)
        piece, self._received = self._received[:len(buffer)], self._received[len(buffer):]
        buffer[:len(piece)] = piece
        return len(piece)


def _connected(path: str, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _alive(sock: socket.socket) -> bool:
    """An idle connection that has something to read was closed by the other side (or is out of step)."""
    try:
        sock.settimeout(0)
        # TLS knows no peeking. What it has to say of its own (RFC 8446 section 4.6.1) is read here and is nothing to us.
        sock.recv(1, 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_PEEK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except (OSError, ValueError):
        return False
    return False
