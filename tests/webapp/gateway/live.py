"""The gateway as it is served: gunicorn with a gevent worker, in a process of its own, on a test's database and keeper."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from alembic import command

from tests.processes import ended, free_port
from webapp import serving
from webapp.db import Database, migrate
from webapp.web.house import House


@contextlib.contextmanager
def served(house: House, folder: Path, **gateway: str) -> Iterator[str]:
    """Serve this house's database at the address that this yields; `gateway` are settings of the gateway, by name."""
    _current(house.database)
    port = free_port()
    environment = {
        **os.environ, "COUNTERSEAL_INSTANCE": str(folder), "COUNTERSEAL_PUBLIC_URL": f"http://localhost:{port}",
        "COUNTERSEAL_DATABASE_URL": house.database.url, "COUNTERSEAL_DOOR_SOCKET": str(house.door.socket),
        **{f"COUNTERSEAL_GATEWAY__{name.upper()}": value for name, value in gateway.items()},
    }
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(serving.command([f"127.0.0.1:{port}"]), env=environment, stdout=log, stderr=log)
        try:
            _until_up(process, port, folder / "web.log")
            yield f"http://localhost:{port}"
        finally:
            ended(process)


def _current(database: Database) -> None:
    """The tables were made from the models; say that they are this version's."""
    config = migrate._config()
    with database.writer.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.stamp(config, "head")


def _until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
            if b" 200 " in probe.recv(100):
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
