"""Where the browser comes back to after consent: `http://localhost:PORT/callback`, on a free port (RFC 8252 section 7.3)."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from vault.said import said

Answer = tuple[str, str | None, str | None]
LONGEST = 16_384


class ConsentRefused(Exception):
    """The person did not let the agent connect."""


def _listen() -> list[socket.socket]:
    """Both loopback addresses on one port: browsers try either for `localhost`."""
    first = socket.create_server(("127.0.0.1", 0))
    try:
        return [first, socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6)]
    except OSError:
        return [first]


class Callback:
    """Hands the authorization response to whoever waits, and sends the browser back to the start page."""

    def __init__(self, back_to: str) -> None:
        self._back_to = back_to
        self._sockets = _listen()
        self.url = f"http://localhost:{self._sockets[0].getsockname()[1]}/callback"
        self._servers: list[asyncio.Server] = []
        self._waiting: asyncio.Future[Answer] | None = None
        self._state = ""

    async def __aenter__(self) -> Self:
        self._servers = [await asyncio.start_server(self._answer, sock=sock, limit=LONGEST) for sock in self._sockets]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in self._servers:
            server.close()

    def expect(self, state: str) -> None:
        """From here on an answer with this state counts; one that came before is forgotten."""
        self._state = state
        self._waiting = asyncio.get_running_loop().create_future()

    async def arrived(self) -> Answer:
        """Code, state and issuer of the response. Raises ConsentRefused."""
        if self._waiting is None:
            raise ConsentRefused("Nothing was asked.")
        return await self._waiting

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
            writer.write(self._response(request.split(" ", 2)))
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()

    def _response(self, line: list[str]) -> bytes:
        target = urlsplit(line[1] if len(line) == 3 and line[0] == "GET" else "/")
        if target.path != "/callback":
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self._settle(query)
        head = f"HTTP/1.1 303 See Other\r\nLocation: {self._back_to}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return head.encode()

    def _settle(self, query: dict[str, str]) -> None:
        """Any page may send a browser here: what does not bring the state of the request that waits is ignored."""
        if self._waiting is None or self._waiting.done() or query.get("state") != self._state:
            return
        if "code" in query:
            self._waiting.set_result((query["code"], query.get("state"), query.get("iss")))
        else:
            self._waiting.set_exception(ConsentRefused(said("You did not let it connect. Nothing was shared; it can ask again.")))
