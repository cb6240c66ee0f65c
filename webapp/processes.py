"""`counterseal serve`, `worker` and `keeper`: one process each, for installations of more than one machine."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import click

from webapp import authority, modules, serving

PemFile = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("serve")
@click.option("--bind", multiple=True, default=("127.0.0.1:8000",), show_default=True, help="host:port or unix:path; repeatable.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes of this one server.")
@click.option("--only", type=click.Choice(["pages", "gateway"]), help="Serve only people, or only agents.")
@click.option("--certfile", type=PemFile, help="The server's certificate (PEM), to end TLS here; or web.certfile.")
@click.option("--keyfile", type=PemFile, help="Its private key (PEM); or web.keyfile.")
def serve_command(
    bind: tuple[str, ...], workers: int, only: str | None, certfile: Path | None, keyfile: Path | None
) -> None:
    """Serve the web app. Any number of these, with PostgreSQL."""
    if only:
        os.environ["COUNTERSEAL_ONLY"] = only
    if (certfile is None) != (keyfile is None):
        raise click.UsageError("--certfile and --keyfile belong together.")
    command = serving.command(bind, workers, _tls(certfile, keyfile))
    os.execv(command[0], command)  # noqa: S606 no shell is wanted


def _tls(certfile: Path | None, keyfile: Path | None) -> serving.Tls | None:
    """TLS, where it was asked for; with the authority for client certificates in a file, which gunicorn reads at its start."""
    from webapp.config import Settings

    settings = Settings()
    certfile, keyfile = certfile or settings.web.certfile, keyfile or settings.web.keyfile
    if certfile is None or keyfile is None:
        return None
    if not settings.secure:
        raise click.UsageError(f"public_url is {settings.public_url}: with TLS it has to be https.")
    return serving.Tls(certfile.resolve(), keyfile.resolve(), authority.write(settings))


@click.command("worker")
def worker_command() -> None:
    """Work off what is due: expiry, revocations, the log. Any number of these."""
    from webapp.backup import restored
    from webapp.composition import job_handlers, plan
    from webapp.config import Settings
    from webapp.gateway import room
    from webapp.jobs import Worker
    from webapp.web.house import make_house

    house = make_house(Settings())
    restored.settle(house)  # before anything of a copy is worked off
    worker = Worker(house, job_handlers(room.make(house).handed), plan)
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
    command = modules.command("vault.keeper", "--instance", str(instance.resolve()))
    os.execv(command[0], command)  # noqa: S606 no shell is wanted
