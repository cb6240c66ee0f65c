"""The process: `python -m vault.keeper --instance DIR [--evaluation]` serves the door on a unix socket until told to stop."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from vault.settings import BadSettings, load

QUIET = ("authlib", "hvac", "urllib3", "requests", "webauthn")
"""Libraries that log tokens or bodies at DEBUG."""


class Process(BaseApplication):  # type: ignore[misc]
    """gunicorn with gevent workers: a request that waits for a provider is a connection that waits."""

    def __init__(self, instance: Path, evaluation: bool) -> None:
        self.instance = instance
        self.evaluation = evaluation
        super().__init__()

    def load_config(self) -> None:
        settings = load(self.instance, evaluation=self.evaluation)
        settings.socket.parent.mkdir(parents=True, exist_ok=True)
        settings.socket.parent.chmod(0o700)
        options = {
            "bind": f"unix:{settings.socket}", "worker_class": "vault.worker.Worker", "workers": settings.workers, "umask": 0o077,
            "graceful_timeout": 5, "timeout": 60, "keepalive": 75, "proc_name": "counterseal-keeper",
            "control_socket_disable": True, "accesslog": None, "errorlog": "-", "loglevel": "warning",
            "when_ready": lambda _arbiter: open_to(settings.socket, settings.group),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """In the worker, after gevent has patched: nothing of ours is imported before."""
        from vault import volumes
        from vault.app import application, table
        from vault.renewal import drain
        from vault.settings import load
        from vault.table import make
        from vault.upkeep import watch

        keeper = make(load(self.instance, evaluation=self.evaluation))
        drain(keeper)
        for name, work in (("upkeep", watch), ("volumes", volumes.watch)):
            threading.Thread(target=work, args=(keeper, threading.Event()), name=name, daemon=True).start()
        return application(keeper, table())


def open_to(door: Path, group: str) -> None:
    """Let a group's members, if there is one, pass the folder (not look into it) and use the socket."""
    if group:
        for one, mode in ((door.parent, 0o710), (door, 0o660)):
            shutil.chown(one, group=group)
            one.chmod(mode)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="counterseal keeper", description=__doc__)
    parser.add_argument("--instance", type=Path, required=True)
    parser.add_argument("--evaluation", action="store_true")
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s keeper %(levelname)s %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        load(given.instance.resolve(), evaluation=given.evaluation).tls()
    except BadSettings as error:
        sys.exit(f"counterseal keeper: {error.hint}")
    Process(given.instance.resolve(), given.evaluation).run()


if __name__ == "__main__":
    main()
