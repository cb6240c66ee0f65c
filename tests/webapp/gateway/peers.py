"""Real MCP servers in processes of their own, and a raw server that answers exactly the bytes it is given."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import ended

HERE = Path(__file__).parent


@dataclass
class Peer:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def seen(self, method: str | None = None) -> list[dict[str, Any]]:
        """The POSTs so far, or those of one JSON-RPC method."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/seen")
        found = json.loads(connection.getresponse().read())
        connection.close()
        posts = [{**one, "json": json.loads(one["body"])} for one in found if one["body"]]
        return [one for one in posts if method in (None, one["json"].get("method"))]


@contextlib.contextmanager
def sdk_server(kind: str) -> Iterator[Peer]:
    """`modern` (the SDK serves both eras), `legacy` (answers as streams) or `legacy-json`."""
    process = subprocess.Popen([sys.executable, str(HERE / "sdk_server.py"), kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Peer(int(process.stdout.readline()))
    finally:
        ended(process)
        process.stdout.close()


Answer = Callable[[dict[str, Any]], bytes | None]


class RawServer:
    """Answers each POST with what `answer` returns for its parsed body, byte for byte; None closes without a word. The answer to
    a call is sent in `pieces` of so many bytes, with a `pause` of so many seconds after each."""

    def __init__(self, answer: Answer, pieces: int = 1 << 20) -> None:
        self.answer, self.pieces, self.pause = answer, pieces, 0.0
        self.requests: list[dict[str, Any]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._open: list[socket.socket] = []
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/mcp"

    def calls(self) -> list[dict[str, Any]]:
        return [one for one in self.requests if one["json"].get("method") == "tools/call"]

    def hang_up(self) -> None:
        """End every connection that is open: the other side has been told when this returns."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            one.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            stream = connection.makefile("rb")
            while line := stream.readline():
                headers = http.client.parse_headers(stream)
                body = stream.read(int(headers["content-length"] or 0))
                message = json.loads(body)
                self.requests.append({"line": line.decode(), "headers": dict(headers.items()), "body": body, "json": message})
                answer = self.answer(message)
                if answer is None:
                    return
                slow = message.get("method") == "tools/call"
                for start in range(0, len(answer), self.pieces if slow else len(answer)):
                    connection.sendall(answer[start:start + (self.pieces if slow else len(answer))])
                    time.sleep(self.pause if slow else 0)


def http_answer(body: bytes, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def rpc(message: dict[str, Any], result: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()


DISCOVERED = {
    "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0,
    "cacheScope": "private",
}


def modern(call: Callable[[dict[str, Any]], bytes | None]) -> Answer:
    """Discovery as it should be; `call` answers everything else."""

    def answer(message: dict[str, Any]) -> bytes | None:
        if message.get("method") == "server/discover":
            return http_answer(rpc(message, DISCOVERED))
        return call(message)

    return answer
