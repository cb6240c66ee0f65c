"""A service that remembers what it was sent, and people with channels."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from vault.secret import Secret
from webapp.db.due import Due
from webapp.ids import new_id
from webapp.notices import jobs
from webapp.notices.outward import Answer
from webapp.notices.tables import Channel
from webapp.people.tables import Person
from webapp.web.house import House

OWN = ["127.0.0.0/8"]


@dataclass
class Service:
    """As ntfy: it takes a POST of JSON and answers as told."""

    port: int = 0
    status: int = 200
    location: str = ""
    got: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ntfy://127.0.0.1:{self.port}/desk"


def near(request: Mapping[str, Any]) -> Answer:
    """What the process that sends would answer for an ntfy address, without one and without Apprise."""
    to = urlsplit(request["url"])
    if to.scheme not in request["schemes"]:
        return Answer("scheme")
    if request["do"] == "check":
        return Answer(service="ntfy")
    line = http.client.HTTPConnection(str(to.hostname), to.port or 80, timeout=30)
    try:
        line.request("POST", "/", json.dumps({"title": request["title"], "message": request["body"]}))
        status = line.getresponse().status
    finally:
        line.close()
    return Answer() if status < 300 else Answer("refused", status)


@contextmanager
def serve() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            service.headers.append(dict(self.headers.items()))
            service.got.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            self.send_response(service.status)
            if service.location:
                self.send_header("Location", service.location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def person(house: House, name: str, groups: list[str] | None = None, zone: str = "UTC") -> str:
    made = new_id("per")
    now = house.clock()
    house.database.write(lambda s: s.add(Person(
        id=made, issuer="https://idp.example", subject=made, name=name, email=f"{name.lower()}@people.example",
        groups=groups or [], zone=zone, created_at=now, seen_at=now, tries_since=None, away_until=None, lent_until=None,
    )))
    return made


def channel(house: House, whom: str, url: str) -> str:
    """Without asking a service what it is."""
    from webapp.notices import channels

    made, now = new_id("chn"), house.clock()
    sealed = house.door.channel_seal(channel=made, url=Secret(url))
    row = Channel(
        id=made, whom=whom, kind="apprise", service="ntfy", name="", sealed=sealed, mark="", made_at=now, made_by="test",
    )
    house.database.write(lambda s: channels.store(s, row, 10, "test", now))
    return made


def due(house: House, kind: str) -> list[Due]:
    with house.database.read() as session:
        return list(session.scalars(select(Due).where(Due.kind == kind).order_by(Due.run_at, Due.id)))


def look(house: House) -> Any:
    """As the worker does when the row is due."""
    return jobs.look(house, due(house, "notices.look")[0])


def send_all(house: House) -> list[Any]:
    """Each message tried once; when each is tried again."""
    return [jobs.send(house, row) for row in due(house, "notices.send")]
