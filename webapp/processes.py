"""`counterseal serve`, `worker` and `keeper`: one process each, for installations of more than one machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import click

from webapp import serving


@click.command("serve")
@click.option("--bind", multiple=True, default=("127.0.0.1:8000",), show_default=True, help="host:port or unix:path; repeatable.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes of this one server.")
@click.option("--only", type=click.Choice(["pages", "gateway"]), help="Serve only people, or only agents.")
def serve_command(bind: tuple[str, ...], workers: int, only: str | None) -> None:
    """Serve the web app. Any number of these, with PostgreSQL."""
    if only:
        os.environ["COUNTERSEAL_ONLY"] = only
    command = serving.command(bind, workers)
    os.execv(command[0], command)  # noqa: S606 no shell is wanted


@click.command("worker")
def worker_command() -> None:
    """Work off what is due: expiry, revocations, the log. Any number of these."""
    from webapp.composition import job_handlers, make_house
    from webapp.config import Settings
    from webapp.gateway import room
    from webapp.jobs import Worker

    house = make_house(Settings())
    worker = Worker(house, job_handlers(room.make(house).handed))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop.set())
    loop = threading.Thread(target=worker.run, name="worker")
    loop.start()
    loop.join()
    worker.house.database.close()


@click.command("keeper")
@click.option(
    "--instance", type=click.Path(path_type=Path, file_okay=False), default="instance", envvar="COUNTERSEAL_INSTANCE",
    show_default=True, help="The folder with the vault's address and credentials.",
)
def keeper_command(instance: Path) -> None:
    """Run the keeper, the one process that holds credentials."""
    command = [sys.executable, "-m", "vault.keeper", "--instance", str(instance.resolve())]
    os.execv(command[0], command)  # noqa: S606 no shell is wanted
