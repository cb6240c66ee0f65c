"""An MCP server that counts what it hears and fails as it is told: it holds an answer back, breaks it off, or answers with an
error. It speaks the legacy protocol, so that each held action begins with a conversation of its own, which can be held too."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.real.running import PATIENCE

TOOLS = {
    "wipe": "Deletes what it is told to.",
    "look": "Looks at something.",
    "pay": "Pays somebody.",
}
SCHEMA = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}


@dataclass
class Scripted:
    """`how` a call is answered: ok, error (500), cut (half an answer), slow (not before `release`). `holds` names a method whose
    answer waits for `release`; `reached` says that it came. `peer` is the port that the last such request came from."""

    url: str = ""
    how: str = "ok"
    holds: str = ""
    peer: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    hints: dict[str, dict[str, Any]] = field(default_factory=dict)
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        self.release.set()
        self.how, self.holds, self.reached, self.release = "ok", "", threading.Event(), threading.Event()

    def hold(self, method: str) -> None:
        self.holds = method

    def calls(self, what: str) -> int:
        """How often a call with this argument was heard."""
        return sum(one["arguments"].get("what") == what for one in self.heard)

    def answer(self, message: dict[str, Any], peer: int, authorization: str) -> dict[str, Any] | None:
        """The result, or None for what gets none. May wait."""
        method, release = message.get("method", ""), self.release
        if method == "tools/call":
            self.heard.append({**message["params"], "authorization": authorization})
        if method == self.holds or (method == "tools/call" and self.how == "slow"):
            self.peer = peer
            self.reached.set()
            release.wait(PATIENCE)
        return self._result(method, message)

    def _result(self, method: str, message: dict[str, Any]) -> dict[str, Any] | None:
        if method == "initialize":
            version = message["params"]["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}}
        if method == "tools/list":
            return {"tools": [
                {"name": name, "description": words, "inputSchema": SCHEMA, **({"annotations": hints} if hints else {})}
                for name, words in TOOLS.items() for hints in [self.hints.get(name)]
            ]}
        if method == "tools/call":
            return {"content": [{"type": "text", "text": f"did {message['params']['arguments'].get('what')}"}]}
        return None


def _handler(scripted: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if message.get("method") == "server/discover":
                self._send(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Bad Request"}}')
                return
            result = scripted.answer(message, self.client_address[1], self.headers.get("Authorization", ""))
            if result is None:
                self._send(202 if "id" not in message else 404, b"")
                return
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
            how = scripted.how if message["method"] == "tools/call" else "ok"
            if how == "error":
                self._send(500, b"it broke")
            else:
                self._send(200, body, cut=how == "cut")

        def _send(self, status: int, body: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if status == 500 else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2] if cut else body)
            self.close_connection = cut

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # who asked was killed

        def log_message(self, *_args: object) -> None:
            return

    return Handler


@contextmanager
def serve() -> Iterator[Scripted]:
    scripted = Scripted()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(scripted))
    server.daemon_threads = True
    scripted.url = f"http://127.0.0.1:{server.server_port}/mcp"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        scripted.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
