"""The process that serves the identity provider and the bank: `python -m webapp.evaluation.parts INSTANCE FD FD`.

The supervisor hands down the two listening sockets, so that a restart loses neither address nor waiting connections.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import gevent.event  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from webapp.evaluation import run as runs  # noqa: E402
from webapp.evaluation.bank.app import Bank, make  # noqa: E402
from webapp.evaluation.bank.oauth import Client  # noqa: E402
from webapp.evaluation.bank.store import Store  # noqa: E402
from webapp.evaluation.identity import Identity  # noqa: E402

BANK_CLIENT = "counterseal"
STOP_SECONDS = 2


def bank(instance: Path, run: runs.Run) -> Bank:
    client = Client(BANK_CLIENT, run.password("bank client").reveal(), "Counterseal", (run.bank_redirect_uri,))
    store = Store(instance / "evaluation" / "bank.sqlite", now=time.time())
    return Bank(store, issuer=run.bank, client=client, key=run.key("bank forms"))


def serve(listener: socket.socket, app: Any) -> WSGIServer:
    server = WSGIServer(listener, app, log=None, error_log=logging.getLogger("counterseal.parts"))
    server.start()
    return server


def main(instance: Path, identity_fd: int, bank_fd: int) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # Authlib refuses plain HTTP otherwise; this process listens on loopback alone.
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    run = runs.read(instance)
    servers = [
        serve(socket.socket(fileno=identity_fd), Identity(run)),
        serve(socket.socket(fileno=bank_fd), make(bank(instance, run))),
    ]
    stop = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    stop.wait()
    gevent.joinall([gevent.spawn(server.stop, STOP_SECONDS) for server in servers])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
