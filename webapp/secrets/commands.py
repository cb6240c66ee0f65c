"""`counterseal provider secret` and `counterseal idp secret`: the client secret anew, with an overlap."""

from __future__ import annotations

import sys

import click

from vault.secret import Secret
from webapp.config import Settings
from webapp.connections.commands import provider as provider
from webapp.people.commands import idp as idp
from webapp.secrets import clients
from webapp.secrets.clients import LONGEST, OVERLAP, Kind
from webapp.web.house import opened

MOST = 10_000
"""Characters that are read of what should be one line."""
NEXT = click.option("--next", "fresh", is_flag=True, help="Read the new one from standard input, and try it first.")
END = click.option("--end", "ended", is_flag=True, help="Try the newest alone from now on.")
HOURS = click.option(
    "--overlap", "hours", type=click.IntRange(1, LONGEST), default=OVERLAP, show_default=True,
    help="Hours for which the one before is tried where the new one is not known.",
)


@provider.command("secret")
@click.argument("name")
@NEXT
@END
@HOURS
def provider_secret(name: str, fresh: bool, ended: bool, hours: int) -> None:
    """Replace the client secret at NAME. First make a second one at the provider, without ending the first."""
    _secret("provider", name, fresh, ended, hours)


@idp.command("secret")
@NEXT
@END
@HOURS
def idp_secret(fresh: bool, ended: bool, hours: int) -> None:
    """Replace the client secret at the identity provider. First make a second one there, without ending the first."""
    _secret("idp", Settings().people.idp, fresh, ended, hours)


def _given() -> Secret[str]:
    """From a pipe, or asked for without being shown. Never from an argument: those are in the list of processes."""
    if sys.stdin.isatty():
        return Secret(str(click.prompt("New client secret", hide_input=True, err=True)).strip())
    return Secret(sys.stdin.read(MOST).strip())


def _secret(kind: Kind, name: str, fresh: bool, ended: bool, hours: int) -> None:
    if fresh == ended:
        raise click.UsageError("Say --next, or --end.")
    with opened(Settings()) as house:
        if ended:
            clients.end(house, kind, name, "cli")
            click.echo("The newest secret alone is shown from now on.")
            return
        until = clients.replace(house, kind, name, _given(), hours, "cli")
        click.echo(f"The new one is tried first; until {until:%Y-%m-%d %H:%M} UTC the one before, where it is not known.")
