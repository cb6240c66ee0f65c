"""Kept HTTP/1.1 connections to one address: a unix socket or TCP. Used towards the keeper and towards Vault.

Safe for many threads and greenlets, and across a fork. A connection serves one request at a time.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

KEPT = 32
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")
LARGEST = 16_000_000


class Unreached(Exception):
    """No connection could be made: nothing was sent."""


class Unheard(Exception):
    """The request was sent, wholly or in part, and no answer came: it may have been carried out."""


@dataclass(frozen=True)
class Heard:
    status: int
    body: bytes


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
        response = http.client.HTTPResponse(sock, method=method)
        try:
            response.begin()
            content = response.read(LARGEST + 1)
            whole = response.isclosed() and not response.will_close
        finally:
            response.close()
        if len(content) > LARGEST:
            raise http.client.HTTPException("the answer is too large")
        if whole and len(self._kept) < KEPT:
            self._kept.append(sock)
        else:
            sock.close()
        return Heard(response.status, content)

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
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except (OSError, ValueError):
        return False
    return False
