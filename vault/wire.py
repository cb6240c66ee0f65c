"""Kept HTTP/1.1 connections to one address: a unix socket or TCP. Used towards the keeper and towards Vault.

Safe for many threads and greenlets, and across a fork. A connection serves one request at a time.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

KEPT = 32
LARGEST = 16_000_000


class Unreached(Exception):
    """No connection could be made: nothing was sent."""


class Unheard(Exception):
    """The request was sent, wholly or in part, and no answer came: it may have been carried out."""


@dataclass(frozen=True)
class Heard:
    status: int
    body: bytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise


class Wire:
    """`address` is `unix:<path>`, `http://host:port` or `https://host:port`; `timeout` in seconds bounds each wait."""

    def __init__(self, address: str, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.timeout = timeout
        self._tls = tls or (ssl.create_default_context() if address.startswith("https://") else None)
        self._kept: list[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, again: bool = False,
    ) -> Heard:
        """Send one request. `again` says that carrying it out twice does no harm: only then is it repeated when a kept
        connection turns out to be dead. Raises Unreached or Unheard."""
        wait = timeout or self.timeout
        while True:
            connection = self._take()
            fresh = connection is None
            connection = connection or self._connect(wait)
            try:
                return self._exchange(connection, method, path, body, headers or {}, wait)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if fresh or not again or isinstance(error, TimeoutError):
                    raise Unheard(f"{self.address}: {type(error).__name__}") from error
            except BaseException:
                # A killed greenlet leaves a half-read answer behind: the next request must not read it.
                connection.close()
                raise

    def close(self) -> None:
        while self._kept:
            self._kept.pop().close()

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self.address.startswith("unix:"):
            connection = _UnixConnection(self.address.removeprefix("unix:"), timeout)
        else:
            parts = urlsplit(self.address)
            host, port = parts.hostname or "", parts.port
            if self._tls:
                connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
            else:
                connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Unreached(f"{self.address}: {type(error).__name__}") from error
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None,
        headers: Mapping[str, str], timeout: float,
    ) -> Heard:
        connection.sock.settimeout(timeout)
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        content = response.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise http.client.HTTPException("the answer is too large")
        if response.isclosed() and not response.will_close and len(self._kept) < KEPT:
            self._kept.append(connection)
        else:
            connection.close()
        return Heard(response.status, content)

    def _take(self) -> http.client.HTTPConnection | None:
        """The kept connection used last, if it is still alive. After a fork the parent's are not ours to use."""
        if self._pid != os.getpid():
            self._kept, self._pid = [], os.getpid()
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            if _alive(connection.sock):
                return connection
            connection.close()


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
