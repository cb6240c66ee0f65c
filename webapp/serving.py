"""gunicorn's configuration for the web process: gevent workers, because a held call and a live page are connections that wait.

`command` makes the command line; the names below it are read by gunicorn (`--config python:webapp.serving`).
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webapp import modules

if TYPE_CHECKING:
    from vault.door import Door
    from webapp.config import Settings

SWITCH = 0.0005
"""Seconds after which a thread lets another run (Python's own default is ten times that). On SQLite the writer's thread gives
the lock of the interpreter up at every statement; behind a busy event loop it would wait the whole interval to get it back."""
WORKER_LOOP = "COUNTERSEAL_WORKER_LOOP"
"""Set to 1: due rows are worked off in the web process too (`counterseal up`)."""


@dataclass(frozen=True)
class Tls:
    """TLS ended in gunicorn. `authority` is the file with the certificate of the authority for client certificates."""

    certfile: Path
    keyfile: Path
    authority: Path

    def options(self) -> list[str]:
        """A client certificate is asked for and not required: a browser has none, and the app decides where one is needed. One
        that another authority gave, or that has expired, ends the handshake."""
        return [
            "--certfile", str(self.certfile), "--keyfile", str(self.keyfile), "--ca-certs", str(self.authority),
            "--cert-reqs", str(int(ssl.CERT_OPTIONAL)),
        ]


def command(binds: Sequence[str], workers: int = 1, tls: Tls | None = None) -> list[str]:
    """What starts the web process on these addresses (`host:port`, `unix:…` or `fd://N`)."""
    addresses = [word for bind in binds for word in ("--bind", bind)]
    return [
        *modules.command("webapp.gunicorn_web"), "--config", "python:webapp.serving", "--workers", str(workers), *addresses,
        *(tls.options() if tls else ()), "webapp.wsgi:make()",
    ]


worker_class = "vault.worker.Worker"
worker_connections = 2000
graceful_timeout = 5
timeout = 60
keepalive = 75
control_socket_disable = True
limit_request_line = 8190
"""Bytes. An agent's authorization request, carried through sign-in as `next`, is quoted once more; gunicorn's 4094 cut it off."""
accesslog = None
errorlog = "-"
loglevel = "warning"
proc_name = "counterseal-web"
forwarded_allow_ips = ""
"""gunicorn itself believes no forwarded header; the app believes those of proxies named in its settings."""
server_software = "counterseal"


CONTEXTS: list[ssl.SSLContext] = []
"""Of this worker's listening sockets."""


def ssl_context(_config: Any, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """gunicorn's own, kept: the authorities are loaded into it while it serves."""
    context = make()
    CONTEXTS.append(context)
    return context


def post_worker_init(worker: Any) -> None:
    """After the app was made in this worker: its loop for due rows, where this process has one."""
    sys.setswitchinterval(SWITCH)
    _warm()
    if worker.cfg.is_ssl:
        import gevent

        house = worker.app.wsgi().extensions["counterseal"]
        gevent.spawn(_follow, house.door, house.settings)
    if os.environ.get(WORKER_LOOP) == "1":
        from webapp.composition import job_handlers, plan
        from webapp.jobs import Worker

        app = worker.app.wsgi()
        house = app.extensions["counterseal"]
        if "evaluation" in app.extensions:
            from webapp.evaluation import seed

            room = app.extensions["evaluation"]
            seed.start(house, room.run, room.seeded)
        loop = Worker(house, job_handlers(app.extensions["approvals"]), plan)
        worker.counterseal_loop = loop
        threading.Thread(target=loop.run, name="worker", daemon=True).start()


def _follow(door: Door, settings: Settings) -> None:
    import gevent

    from webapp import authority

    seen = ""
    while True:
        gevent.sleep(settings.clients.authority_look)
        seen = authority.follow(door, settings, CONTEXTS, seen)


def _warm() -> None:
    """What the first call would wait for is imported now that the process answers, beside it: on a native thread."""
    from gevent import get_hub

    from webapp.gateway import upstream

    get_hub().threadpool.spawn(upstream.model)


def worker_int(worker: Any) -> None:
    """Told to stop: live pages end now, and come back when the next process is up."""
    seats = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("seats")
    if seats is not None:  # the app had been made
        seats.close()
    _stop(worker)


def worker_exit(_server: Any, worker: Any) -> None:
    _stop(worker)


def _stop(worker: Any) -> None:
    loop = getattr(worker, "counterseal_loop", None)
    if loop is not None:
        loop.stop.set()
