"""Stands between the gateway and a real MCP server, and remembers what passed: so that a test can count what was really sent."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

NOT_PASSED = frozenset({"transfer-encoding", "connection", "content-length", "keep-alive"})


@dataclass
class Forwarder:
    url: str
    seen: list[dict[str, Any]] = field(default_factory=list)

    def calls(self, tool: str) -> list[dict[str, Any]]:
        """The `tools/call` requests for this tool: headers and parsed body."""
        found = [one for one in self.seen if one["json"].get("method") == "tools/call"]
        return [one for one in found if one["json"]["params"]["name"] == tool]


def _handler(forwarder: Forwarder, behind: str) -> type[BaseHTTPRequestHandler]:
    target = urlsplit(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if body:
                forwarder.seen.append({"headers": dict(self.headers.items()), "json": json.loads(body)})
            headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED | {"host"}}
            onward = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            onward.request(self.command, target.path, body or None, headers)
            answer = onward.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_PASSED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            onward.close()

        def do_DELETE(self) -> None:
            self.do_POST()

        def log_message(self, *_args: object) -> None:
            return

    return Handler


@contextmanager
def forward(behind: str) -> Iterator[Forwarder]:
    """A forwarder on a free port in front of the server at this address."""
    forwarder = Forwarder("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(forwarder, behind))
    server.daemon_threads = True
    forwarder.url = f"http://127.0.0.1:{server.server_port}/mcp"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield forwarder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
