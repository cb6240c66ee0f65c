"""`counterseal up` and `counterseal link`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import click

from webapp.supervisor.up import show_link, up
from webapp.web.control import ask

PORT = 8000

instance_option = click.option(
    "--instance", type=click.Path(path_type=Path, file_okay=False), default="instance", envvar="COUNTERSEAL_INSTANCE",
    show_default=True, help="The folder with the instance's data, configuration and sockets.",
)


def _public_url(instance: Path) -> str | None:
    """What the operator configured, if anything: the environment over counterseal.toml."""
    path = instance / "counterseal.toml"
    written = tomllib.loads(path.read_text()).get("public_url") if path.exists() else None
    return os.environ.get("COUNTERSEAL_PUBLIC_URL") or written


@click.command("up")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Loopback port; 0 takes a free one.  [default: {PORT}]")
@click.option("--evaluation", is_flag=True, help="Make a new instance an evaluation instance, which it stays for ever.")
@instance_option
def up_command(port: int | None, evaluation: bool, instance: Path) -> None:
    """Run everything on this machine: vault, keeper, web server, worker. Ctrl-C stops it."""
    public_url = _public_url(instance)
    if port is None:
        named = urlsplit(public_url or "")
        port = named.port or PORT if named.hostname == "localhost" else PORT
    up(instance, port=port, public_url=public_url, evaluation=evaluation)


@click.command("link")
@instance_option
def link_command(instance: Path) -> None:
    """Print another one-time sign-in link of the running evaluation instance. It is good for 10 minutes."""
    instance = instance.resolve()
    show_link(instance, ask(instance, do="link")["link"])
