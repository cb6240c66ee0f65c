"""The `counterseal` command. A room's commands are imported when they are called: `up` and `link` need no web framework."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from vault.errors import KeeperError
from webapp.errors import CountersealError

Load = Callable[[], click.Command]


def _at(module: str, name: str) -> Load:
    """A command that is imported when it is called."""

    def load() -> click.Command:
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    return load


def _policy() -> click.Command:
    from webapp.insights.commands import replay_command
    from webapp.policy import commands
    from webapp.registry import pins

    found = commands.group(pins.pinned)
    found.add_command(replay_command)
    return found


def _client() -> click.Command:
    from webapp.clients import commands, token_commands
    from webapp.people import lookup

    return commands.group(token_commands.People(lookup.one, lookup.names))


COMMANDS: Mapping[str, Load] = {
    "up": _at("webapp.supervisor.commands", "up_command"),
    "link": _at("webapp.supervisor.commands", "link_command"),
    "serve": _at("webapp.processes", "serve_command"),
    "worker": _at("webapp.processes", "worker_command"),
    "keeper": _at("webapp.processes", "keeper_command"),
    "vault": _at("webapp.vaults", "vault"),
    "backup": _at("webapp.backup.commands", "backup"),
    "restore": _at("webapp.backup.commands", "restore_command"),
    "rotate": _at("webapp.rotation", "rotate_command"),
    "db": _at("webapp.db.commands", "db"),
    "audit": _at("webapp.audit.commands", "audit"),
    "receipt": _at("webapp.approvals.receipt_commands", "receipt"),
    "policy": _policy,
    "server": _at("webapp.registry.commands", "server"),
    "client": _client,
    "incident": _at("webapp.incidents.commands", "incident"),
    "idp": _at("webapp.secrets.commands", "idp"),
    "person": _at("webapp.people.person_commands", "person"),
    "provider": _at("webapp.secrets.commands", "provider"),
}
"""In the order `--help` lists them."""


class Rooms(click.Group):
    """A group whose commands live in the rooms."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return COMMANDS[cmd_name]() if cmd_name in COMMANDS else None

    def invoke(self, ctx: click.Context) -> Any:
        """What the app or the keeper refuses is said in its own words, without a traceback."""
        try:
            return super().invoke(ctx)
        except (CountersealError, KeeperError) as error:
            click.echo(f"counterseal: {error.hint}", err=True)
            sys.exit(1)


@click.group(cls=Rooms)
@click.version_option(package_name="counterseal")
def main() -> None:
    """Human approval and a credential vault for AI agents."""
